"""Draws `docs/architecture.svg`, the picture in the README: `python docs/draw_architecture.py`."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

PLAIN, GROUP, RESIDUAL = "#eef2f7", "#ffe3c2", "#d9f0dc"
EDGE = "#44546a"


def box(axes: plt.Axes, x: float, y: float, width: float, text: str, color: str, height: float = 0.62) -> None:
    """A rounded box centred at (x, y)."""
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0.02,rounding_size=0.08", fc=color, ec=EDGE))
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5, color="#1c2733")


def arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    """An arrow from one point to another."""
    style = {"arrowstyle": "-|>", "color": EDGE, "linestyle": "--" if dashed else "-", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def main() -> None:
    """Draw the model from the columns at the bottom to the losses at the top."""
    figure, axes = plt.subplots(figsize=(10.5, 7.0))
    for x, text in ((1.8, "user columns"), (4.6, "ad columns"), (7.4, "context columns")):
        box(axes, x, 0.4, 2.2, text, PLAIN)
        arrow(axes, (x, 0.73), (x, 1.12))
        box(axes, x, 1.45, 2.2, "embeddings", PLAIN)
        arrow(axes, (x, 1.78), (x, 3.32))
    box(axes, 0.55, 2.55, 1.7, "GSL: user groups", GROUP)
    arrow(axes, (1.5, 1.78), (0.7, 2.22))
    arrow(axes, (0.7, 2.88), (1.2, 3.32))
    box(axes, 3.2, 2.55, 2.1, "GSL: user-ad groups", GROUP)
    arrow(axes, (2.3, 1.78), (2.9, 2.22))
    arrow(axes, (4.1, 1.78), (3.5, 2.22))
    arrow(axes, (3.2, 2.88), (3.2, 3.32))
    box(axes, 4.6, 3.65, 8.2, "backbone: dcn_v2, mlp, or your own small class", PLAIN)
    arrow(axes, (4.6, 3.98), (4.6, 4.37))
    box(axes, 4.4, 4.7, 5.2, "representation", PLAIN)
    box(axes, 8.6, 4.7, 2.2, "GSL: representation", GROUP)
    arrow(axes, (7.02, 4.62), (7.48, 4.62))
    arrow(axes, (7.48, 4.8), (7.02, 4.8))
    for x, task in ((2.2, "click"), (3.9, "like"), (5.6, "...")):
        arrow(axes, (x, 5.03), (x, 5.52))
        box(axes, x, 5.85, 1.5, f"tower: {task}", PLAIN)
        arrow(axes, (x, 6.18), (x, 6.57))
        axes.text(x, 6.72, "logit → CE(f, y)", ha="center", fontsize=9, color="#1c2733")
    box(axes, 8.6, 5.85, 3.0, "ResL heads f₀, f₁ (training only)", RESIDUAL)
    arrow(axes, (6.6, 5.03), (7.9, 5.52), dashed=True)
    arrow(axes, (8.6, 6.18), (8.6, 6.57), dashed=True)
    axes.text(8.6, 6.72, "fit label − pseudo-label", ha="center", fontsize=9, color="#1c2733")
    note = "GSL: a residual quantizer finds groups; their codes are concatenated back.  "
    note += "ResL: a head per class fits the residual."
    axes.text(4.9, -0.25, note, ha="center", fontsize=9, color="#44546a")
    axes.set_xlim(-0.5, 10.3)
    axes.set_ylim(-0.5, 7.0)
    axes.axis("off")
    plt.rcParams["svg.hashsalt"] = "grouprank"
    figure.savefig(
        Path(__file__).with_name("architecture.svg"), bbox_inches="tight", facecolor="white", metadata={"Date": None}
    )


if __name__ == "__main__":
    main()
