"""What charts with lines share: a style a model, ticks and legends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .theme import MARKERS, SERIES, color
from .wording import rate, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Where axes begin, as a share of the figure's width: room for the labels of ticks.
LEFT = 0.15


def line_style(number: int, baseline: bool) -> dict[str, Any]:
    """Colour, marker and dashes of a model's line: no two models differ in colour alone.

    Example:

    >>> line_style(0, baseline=True)["marker"], line_style(0, baseline=False)["marker"]
    ('o', 's')
    """
    if baseline:
        return {"color": color("ink"), "marker": "o", "linestyle": (0, (4, 2))}
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "linestyle": "-"}


def line_styles(models: Sequence[str], baseline: str | None) -> dict[str, dict[str, Any]]:
    """The style of each model, that of the baseline apart.

    Example:

    >>> line_styles(["base", "ours"], "base")["ours"]["marker"]
    's'
    """
    candidates = [model for model in models if model != baseline]
    styles = {model: line_style(number, False) for number, model in enumerate(candidates)}
    return {model: line_style(0, True) if model == baseline else styles[model] for model in models}


def legend_rows(count: int) -> int:
    """Rows that a legend of so many models takes."""
    return -(-count // 2)


def draw_legend(axes: "Axes", models: Sequence[str], styles: dict[str, dict[str, Any]]) -> None:
    """Models with their lines, two a row at the figure's foot."""
    figure = axes.figure
    handles = [axes.plot([], [], markersize=5.5, linewidth=1.6, label=model, **styles[model])[0] for model in models]
    # matplotlib leaves out names that begin with an underscore.
    labels = [("\u200b" if model.startswith("_") else "") + shortened(model, 27) for model in models]
    figure.legend(handles, labels, loc="lower center", ncols=2, handlelength=2.2, columnspacing=1.4, borderaxespad=0.2)


def rate_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round probabilities on a logarithmic axis.

    Example:

    >>> rate_ticks(0.002, 0.3)
    [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    >>> rate_ticks(0.7, 1.5)
    [0.7, 0.8, 0.9, 1.0, 1.2, 1.4]
    """
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    fine = (*(step / 10.0 for step in range(10, 20, 2)), *range(2, 10))
    for steps in (fine, (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [float(f"{tick:.3g}") for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            break
    return inside


def set_rate_axis(axes: "Axes", which: Literal["x", "y"], limits: tuple[float, float], logarithmic: bool) -> None:
    """An axis of probabilities, in percent.

    Args:
        axes: where.
        which: `"x"` or `"y"`.
        limits: least and highest probability shown.
        logarithmic: scale of the axis.
    """
    axis = getattr(axes, f"{which}axis")
    getattr(axes, f"set_{which}scale")("log" if logarithmic else "linear")
    getattr(axes, f"set_{which}lim")(*limits)
    if logarithmic:
        axis.set_ticks(rate_ticks(*limits))
        axis.set_ticks([], minor=True)
    else:
        axes.locator_params(axis=which, nbins=6)
    axis.set_major_formatter(lambda value, _: rate(round(value, 12)))
