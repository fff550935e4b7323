"""What charts with lines share: a style per model, ticks and legends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .labels import shortened, text_width
from .theme import MARKERS, SERIES, color
from .wording import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Where axes begin, as a share of the figure's width: room for the labels of ticks.
LEFT = 0.15
# Letters of a model's name where two stand in a row of the legend.
_LETTERS = 27


def line_style(number: int, baseline: bool) -> dict[str, Any]:
    """Colour, marker and dashes of a model's line; two models never differ only in colour.

    Example:

    >>> line_style(0, baseline=True)["marker"], line_style(0, baseline=False)["marker"]
    ('o', 's')
    """
    if baseline:
        return {"color": color("ink"), "marker": "o", "linestyle": (0, (4, 2))}
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "linestyle": "-"}


def line_styles(models: Sequence[str], baseline: str | None) -> dict[str, dict[str, Any]]:
    """The style of each model; the baseline has a style of its own.

    Example:

    >>> line_styles(["base", "ours"], "base")["ours"]["marker"]
    's'
    """
    candidates = [model for model in models if model != baseline]
    styles = {model: line_style(number, False) for number, model in enumerate(candidates)}
    return {model: line_style(0, True) if model == baseline else styles[model] for model in models}


def legend_rows(models: Sequence[str]) -> int:
    """Rows that a legend of the models takes: two models per row, or one where a name needs the room.

    Example:

    >>> legend_rows(["a", "b", "c"]), legend_rows(["a", "b" * 40])
    (2, 2)
    """
    return -(-len(models) // _legend_columns(models))


def _legend_columns(models: Sequence[str]) -> int:
    return 2 if all(text_width(model) <= _LETTERS for model in models) else 1


def draw_legend(axes: "Axes", models: Sequence[str], styles: dict[str, dict[str, Any]]) -> None:
    """Models with their lines at the figure's foot."""
    figure = axes.figure
    handles = [axes.plot([], [], markersize=5.5, linewidth=1.6, label=model, **styles[model])[0] for model in models]
    # matplotlib leaves out names that begin with an underscore.
    columns = _legend_columns(models)
    most = _LETTERS if columns == 2 else 2 * _LETTERS
    labels = [("\u200b" if model.startswith("_") else "") + shortened(model, most) for model in models]
    figure.legend(
        handles, labels, loc="lower center", ncols=columns, handlelength=2.2, columnspacing=1.4, borderaxespad=0.2
    )


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
