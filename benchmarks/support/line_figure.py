"""Lines over a logarithmic axis, a panel per group."""

from collections.abc import Mapping, Sequence
from typing import Any

from .bar_figure import COLOURS

MARKERS = "os^Dv<>"


def line_figure(
    panels: Mapping[str, Mapping[str, Mapping[float, float]]], x_label: str, y_label: str, log_y: bool = True
) -> Any:
    """Draw panels side by side with common axes, and one legend below them.

    Args:
        panels: y by x by line by panel. A line has the same colour in every panel.
        x_label: of the horizontal axes, which are logarithmic, with the unit.
        y_label: of the vertical axis, with the unit.
        log_y: whether the vertical axis is logarithmic. Defaults to `True`.

    Returns:
        A `matplotlib.figure.Figure`, which needs no display.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(1.5 + 3.0 * max(len(panels), 1), 3.8), layout="constrained")
    every = figure.subplots(1, max(len(panels), 1), sharex=True, sharey=True, squeeze=False)[0]
    order: Sequence[str] = list(dict.fromkeys(line for lines in panels.values() for line in lines))
    shown: dict[str, Any] = {}
    for axes, (title, lines) in zip(every, panels.items(), strict=False):
        axes.set_title(title)
        axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)
        for name, points in lines.items():
            number = order.index(name)
            (shown[name],) = axes.plot(
                list(points),
                list(points.values()),
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                label=name,
            )
        axes.set_xlabel(x_label)
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_ylabel(y_label)
    handles = [shown[name] for name in order if name in shown]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False)
    return figure
