"""Horizontal bars with ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

# Colours that stay apart for colour-blind readers.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")


def bar_figure(
    values: Mapping[str, float],
    label: str,
    kinds: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    log: bool = False,
    digits: int = 0,
) -> Any:
    """Draw a bar per name, the first on top, with its number beside it.

    Args:
        values: length by name.
        label: of the axis, with the unit.
        kinds: kind by name; a kind has one colour, named in the legend below. Defaults to one colour.
        ranges: least and greatest by name, drawn as a thin line. Defaults to none.
        log: whether the axis is logarithmic. Defaults to `False`.
        digits: decimals of the numbers. Defaults to `0`.

    Returns:
        A `matplotlib.figure.Figure`, which needs no display.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = list(values)
    order: Sequence[str] = list(dict.fromkeys(kinds[name] for name in names)) if kinds else []
    colours = dict(zip(order, COLOURS * (1 + len(order) // len(COLOURS)), strict=False))
    figure = Figure(figsize=(8.0, 1.4 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        axes.barh(place, values[name], color=colours[kinds[name]] if kinds else COLOURS[0], height=0.7)
        low, high = (ranges or {}).get(name, (values[name], values[name]))
        if ranges and name in ranges:
            axes.plot([low, high], [place, place], color="black", linewidth=1.0)
        text = f" {values[name]:,.{digits}f}"
        axes.annotate(text, (max(high, values[name]), place), (3, 0), textcoords="offset points", va="center", size=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    if order:
        handles = [Patch(color=colours[kind], label=kind) for kind in order]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(order), 4), frameon=False)
    return figure
