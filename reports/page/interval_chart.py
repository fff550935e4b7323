"""Gains with their intervals, one per row."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ..statistics import Estimate
from .labels import text_width, wrapped
from .svg import HALO, WIDTH, SvgFigure
from .theme import VERDICTS, color
from .wording import interval, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In points. A row is its lines of text, and the interval below them.
_TEXT, _INTERVAL, _THICKNESS, _GAP = 14.0, 24.0, 16.0, 3.0
_FOOT = 38.0
_MARGIN = 8.0
# Letters that a row's width holds.
_LETTERS = 56


@dataclasses.dataclass(frozen=True)
class GainRow:
    """One row of the chart.

    Args:
        label: what has the gain; on lines of its own where it is long.
        gain: relative NE gain.
        verdict: what may be said of it.
    """

    label: str
    gain: Estimate
    verdict: str


def interval_chart(name: str, rows: Sequence[GainRow], label: str, bars: bool = False, digits: int = 3) -> Markup:
    """Relative NE gains as points or bars with 95 % intervals around a line at zero.

    The names stand above the rows, so that long ones leave the width to the intervals. The pale band behind a point
    covers effects that would have been missed more often than one time in five.

    Args:
        name: prefix of the ids.
        rows: from top to bottom, at least one.
        label: text alternative.
        bars: draw bars in place of points with their bands. Defaults to `False`.
        digits: of the percentages. Defaults to `3`.

    Returns:
        SVG.
    """
    words = [f"{VERDICTS[row.verdict].symbol} {interval(row.gain, digits)}" for row in rows]
    lines = [_lines(row.label, said) for row, said in zip(rows, words, strict=True)]
    heights = [_TEXT * len(texts) + _INTERVAL for texts in lines]
    tops = np.cumsum([0.0, *heights])
    height = tops[-1] + _FOOT
    with SvgFigure(name, height, label) as drawing:
        box = (_MARGIN / WIDTH, _FOOT / height, 1.0 - 2.0 * _MARGIN / WIDTH, 1.0 - _FOOT / height)
        axes = drawing.figure.add_axes(box)
        left, right = _limits(rows, bands=not bars)
        axes.set(xlim=(left, right), ylim=(tops[-1], 0.0), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(_tick)
        axes.tick_params(length=0)
        for x, side, text in (
            (_MARGIN, "left", "◂ worse"),
            (WIDTH / 2.0, "center", "NE gain, %"),
            (WIDTH - _MARGIN, "right", "better ▸"),
        ):
            drawing.figure.text(x / WIDTH, 7.0 / height, text, ha=side, fontsize=10.5, color=color("muted"))
        for row, said, texts, top in zip(rows, words, lines, tops[:-1], strict=True):
            if top:
                axes.axhline(top, color=color("line"), linewidth=0.6)
            place: dict[str, Any] = {"fontsize": 10.5, "va": "center", "gid": HALO}
            middles = [top + _GAP + _TEXT * (line + 0.5) for line in range(len(texts))]
            for text, middle in zip(texts, middles, strict=True):
                axes.text(left, middle, text, ha="left", **place)
            role = color(VERDICTS[row.verdict].role)
            axes.text(right, middles[-1], said, ha="right", color=role, **place)
            y = middles[-1] + (_TEXT + _THICKNESS) / 2.0 + 1.0
            axes.plot([0.0, 0.0], [y - 9.0, y + 11.0], color=color("ink"), linewidth=1.1, zorder=2.5)
            _draw_gain(axes, y, row.gain, row.verdict, bars)
    return drawing.svg


def _lines(label: str, words: str) -> list[str]:
    """The label's lines, the last of which leaves room for the words to its right."""
    lines = wrapped(label, _LETTERS)
    return lines if text_width(lines[-1]) + 2 + text_width(words) <= _LETTERS else [*lines, ""]


def _limits(rows: Sequence[GainRow], bands: bool) -> tuple[float, float]:
    """Room for all values, and for intervals unless one dwarfs the rest."""
    values = np.array([100.0 * row.gain.value for row in rows])
    reaches = np.array([100.0 * (row.gain.high - row.gain.value) for row in rows])
    ends = [values - reaches, values + reaches]
    if bands:
        visible = np.array([100.0 * row.gain.smallest_visible for row in rows])
        ends += [-visible, visible]
    # Not narrower than a thousandth of a percent, since an axis of gains that are all zero would show rounding only.
    most = max(1.5 * float(np.abs(values).max()) + 3.0 * float(np.median(reaches)), 1e-3)
    low = max(min(0.0, float(np.min(ends))), -most)
    high = min(max(0.0, float(np.max(ends))), most)
    if high - low < 1e-3:
        low, high = -1e-3, 1e-3
    room = 0.06 * (high - low)
    return low - room, high + room


def _tick(value: float, _: object) -> str:
    if 0.0 < abs(value) < 0.005:
        return signed(value, 4)
    return signed(round(value, 10), 0 if float(value).is_integer() else 2 if abs(round(value, 1) - value) > 1e-9 else 1)


def _draw_gain(axes: "Axes", y: float, gain: Estimate, verdict: str, bar: bool) -> None:
    style = VERDICTS[verdict]
    role = color(style.role)
    value, low, high, visible = (100.0 * v for v in (gain.value, gain.low, gain.high, gain.smallest_visible))
    if bar:
        look: dict[str, Any] = {
            "color": color(style.fill),
            "edgecolor": role,
            "hatch": style.hatch or None,
            "linewidth": 1.0,
        }
        axes.barh(y, value, height=_THICKNESS, zorder=2, **look)
    else:
        axes.barh(y, 2.0 * visible, height=_THICKNESS, left=-visible, color=color("band"), zorder=1.5)
    left, right = axes.get_xlim()
    line: dict[str, Any] = {"color": color("ink") if bar else role, "zorder": 3}
    axes.plot([max(low, left), min(high, right)], [y, y], linewidth=1.6, solid_capstyle="butt", **line)
    for end, edge, outside, arrow in ((low, left, low < left, "<"), (high, right, high > right, ">")):
        marker, place = (arrow, edge) if outside else ("|", end)
        axes.plot(place, y, marker=marker, markersize=6, markeredgewidth=1.6, clip_on=False, **line)
    if not bar:
        fill = role if verdict in ("better", "worse") else color("paper")
        face: dict[str, Any] = {"markerfacecolor": fill, "markeredgecolor": role, "markeredgewidth": 1.6, "zorder": 4}
        axes.plot(value, y, marker=style.marker, markersize=8, linestyle="none", **face)
