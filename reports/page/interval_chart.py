"""Gains with their intervals, a row each."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ..statistics import Estimate
from .svg import HALO, WIDTH, SvgFigure
from .theme import VERDICTS, color
from .wording import interval, shortened, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 38.0
_FOOT = 38.0
_MARGIN = 8.0
_LABEL, _LINE, _TOP = 0.26, 0.68, 0.44  # of a row's height


@dataclasses.dataclass(frozen=True)
class GainRow:
    """One row of the chart.

    Args:
        label: what has the gain.
        gain: relative NE gain, `None` for insufficient data.
        verdict: what may be said of it.
    """

    label: str
    gain: Estimate | None
    verdict: str


def interval_chart(name: str, rows: Sequence[GainRow], label: str, bars: bool = False, digits: int = 3) -> Markup:
    """Relative NE gains as points or bars with 95 % intervals around a line at zero.

    The names stand above the rows, so that long ones leave the width to the intervals. The pale band behind a point
    is what would have been missed more often than one time in five.

    Args:
        name: prefix of the ids.
        rows: from top to bottom.
        label: text alternative.
        bars: draw bars in place of points with their bands. Defaults to `False`.
        digits: of the percentages. Defaults to `3`.

    Returns:
        SVG.
    """
    height = _ROW * len(rows) + _FOOT
    with SvgFigure(name, height, label) as drawing:
        box = (_MARGIN / WIDTH, _FOOT / height, 1.0 - 2.0 * _MARGIN / WIDTH, 1.0 - _FOOT / height)
        axes = drawing.figure.add_axes(box)
        low, high = _limits(rows, bands=not bars)
        axes.set(xlim=(low, high), ylim=(len(rows), 0.0), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(_tick)
        axes.tick_params(length=0)
        for x, side, words in (
            (_MARGIN, "left", "◂ worse"),
            (WIDTH / 2.0, "center", "NE gain, %"),
            (WIDTH - _MARGIN, "right", "better ▸"),
        ):
            drawing.figure.text(x / WIDTH, 7.0 / height, words, ha=side, fontsize=10.5, color=color("muted"))
        for number, row in enumerate(rows):
            if number:
                axes.axhline(number, color=color("line"), linewidth=0.6)
            axes.plot([0.0, 0.0], [number + _TOP, number + 0.98], color=color("ink"), linewidth=1.1, zorder=2.5)
            _draw_words(axes, number, row, digits)
            if row.gain is not None:
                _draw_gain(axes, number + _LINE, row.gain, row.verdict, bars)
    return drawing.svg


def _limits(rows: Sequence[GainRow], bands: bool) -> tuple[float, float]:
    """Room for all values, and for intervals unless one dwarfs the rest."""
    gains = [row.gain for row in rows if row.gain is not None]
    if not gains:
        return -1.0, 1.0
    values = np.array([100.0 * gain.value for gain in gains])
    reaches = np.array([100.0 * (gain.high - gain.value) for gain in gains])
    ends = [values - reaches, values + reaches]
    if bands:
        visible = np.array([100.0 * gain.smallest_visible for gain in gains])
        ends += [-visible, visible]
    most = 1.5 * float(np.abs(values).max()) + 3.0 * float(np.median(reaches)) + 1e-6
    low = max(min(0.0, float(np.min(ends))), -most)
    high = min(max(0.0, float(np.max(ends))), most)
    room = 0.06 * (high - low)
    return low - room, high + room


def _tick(value: float, _: object) -> str:
    return signed(round(value, 10), 0 if float(value).is_integer() else 2 if abs(round(value, 1) - value) > 1e-9 else 1)


def _draw_words(axes: "Axes", number: int, row: GainRow, digits: int) -> None:
    style = VERDICTS[row.verdict]
    left, right = axes.get_xlim()
    place: dict[str, Any] = {"fontsize": 10.5, "va": "center", "gid": HALO}
    words = row.verdict if row.gain is None else interval(row.gain, digits)
    most = 56 - len(words)
    axes.text(left, number + _LABEL, shortened(row.label, most), ha="left", **place)
    axes.text(right, number + _LABEL, f"{style.symbol} {words}", ha="right", color=color(style.role), **place)


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
        axes.barh(y, value, height=0.4, zorder=2, **look)
    else:
        axes.barh(y, 2.0 * visible, height=0.46, left=-visible, color=color("band"), zorder=1.5)
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
