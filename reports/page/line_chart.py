"""Lines over days, ages or any other axis, with intervals around them."""

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ..names import listed, named, quoted
from .labels import shortened, text_width
from .line_axes import LEFT, draw_legend, legend_rows, line_styles, rate_ticks
from .svg import WIDTH, SvgFigure
from .theme import SERIES, color
from .wording import NONE, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LETTERS = 12
# In points: a letter of a tick's label and the gap between two labels, and the picture's parts.
_LETTER, _GAP, _ABOVE, _BELOW, _PLOT = 6.2, 10.0, 26.0, 36.0, 170.0


@dataclasses.dataclass(frozen=True)
class LineChart:
    """A picture of a few lines, and the figures that it is drawn from (see `ReportPage.add_lines`).

    Args:
        title: what is shown.
        x_label: what the horizontal axis is, with its unit, such as `"day"`.
        y_label: what the vertical axis is, with its unit, such as `"NE gain, %"`.
        x: where the values are: numbers, which set the distances, or names such as dates, which stand side by side.
        lines: values by name of the line, one for each of `x`. `None` or NaN leaves a gap.
        intervals: the lower and the upper end around each value of a line, or `None`, by name of the line. Defaults to
            none.
        baseline: the line that the others are compared with, which is dashed. Defaults to `None`.
        levels: values at which a dotted line helps to read the others, such as 0. Defaults to `()`.
        caption: what the picture says, in a sentence below the title. Defaults to `""`.
        digits: decimal places of the figures; with 0 they are counts, whose axis begins at 0. Defaults to 3.
        signs: whether figures above 0 have a sign, as differences do. Defaults to `False`.
        logarithmic: whether the vertical axis is, for figures of different sizes; those up to 0 are not drawn. Defaults
            to `False`.

    Raises:
        ValueError: if a line has more or fewer values than `x`, nothing is there to draw, or the lines are too many to
            be told apart.

    Example:

    >>> days = ["2024-01-01", "2024-01-02"]
    >>> LineChart("click", "day", "NE", days, {"daily": [0.91, 0.9], "aged": [0.91, None]}).cells()
    [('2024-01-01', '0.910', '0.910'), ('2024-01-02', '0.900', '–')]
    """

    title: str
    x_label: str
    y_label: str
    x: Sequence[str] | Sequence[float]
    lines: Mapping[str, Sequence[float | None]]
    intervals: Mapping[str, Sequence[tuple[float, float] | None]] = dataclasses.field(default_factory=dict)
    baseline: str | None = None
    levels: Sequence[float] = ()
    caption: str = ""
    digits: int = 3
    signs: bool = False
    logarithmic: bool = False

    def __post_init__(self) -> None:
        wrong = {
            name: len(values)
            for part in (self.lines, self.intervals)
            for name, values in part.items()
            if len(values) != len(self.x)
        }
        unknown = [name for name in self.intervals if name not in self.lines]
        if wrong or unknown or not self.lines or not len(self.x):
            raise ValueError(
                f"Chart {self.title!r} must have at least one line and one place, and for each of its {len(self.x)} "
                f"places a value of each line, and an interval or None. Received: lines={list(self.lines)}, with "
                f"another number of values: {wrong}, intervals without a line: {unknown}."
            )
        if len(self.lines) > len(SERIES) + (self.baseline in self.lines):
            raise ValueError(
                f"Chart {self.title!r} must have at most {len(SERIES)} lines and a baseline, which can be told apart. "
                f"Received: {len(self.lines)} lines."
            )

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The lines that have a value, as numbers, NaN where there is a gap."""
        found = {name: np.array([np.nan if v is None else v for v in line], float) for name, line in self.lines.items()}
        return {name: line for name, line in found.items() if np.isfinite(line).any()}

    def cells(self) -> list[tuple[str, ...]]:
        """A row of text for each of `x`: its name, and the figure of each line with its interval."""
        rows = []
        for place, name in enumerate(self.x):
            figures = []
            for line, values in self.lines.items():
                ends = self.intervals[line][place] if line in self.intervals else None
                figures.append(self._figure(values[place], ends))
            rows.append((name if isinstance(name, str) else f"{name:g}", *figures))
        return rows

    def _figure(self, value: float | None, ends: tuple[float, float] | None) -> str:
        if value is None or not np.isfinite(value):
            return NONE
        shown = self._number(value)
        return shown if ends is None else f"{shown} ({self._number(ends[0])} to {self._number(ends[1])})"

    def _number(self, value: float) -> str:
        return signed(value, self.digits) if self.signs else f"{value:,.{self.digits}f}".replace("-", "−")

    def draw(self, name: str) -> Markup:
        """The picture.

        Args:
            name: prefix of its ids.
        """
        values = self.values
        styles = line_styles(list(self.lines), self.baseline)
        labels = _tick_labels(self.x)
        places = np.arange(len(self.x)) if labels is not None else np.asarray(self.x, float)
        foot = 16.0 * legend_rows(list(values)) + 6.0 if len(values) > 1 else 4.0
        height = _ABOVE + _PLOT + _BELOW + foot
        # The last label stands in the middle of its tick and must not leave the picture.
        reach = max(8.0, 0.5 * _LETTER * max(map(text_width, labels or ["0"])))
        box = (LEFT, (foot + _BELOW) / height, 1.0 - LEFT - reach / WIDTH, _PLOT / height)
        label = f"{named(self.title)}: {self.y_label} by {self.x_label}. {self._ends()}"
        with SvgFigure(name, height, label) as drawing:
            axes = drawing.figure.add_axes(box)
            for level in self.levels:
                axes.axhline(level, color=color("muted"), linestyle=":", linewidth=1.2)
            for line, points in values.items():
                style = styles[line]
                if line in self.intervals:
                    pairs = [(np.nan, np.nan) if pair is None else pair for pair in self.intervals[line]]
                    low, high = np.array(pairs, float).T
                    axes.fill_between(places, low, high, color=style["color"], alpha=0.18, linewidth=0)
                    axes.vlines(places, low, high, color=style["color"], linewidth=1.2)
                # The marker shows a value between two gaps, to which no line leads.
                axes.plot(places, points, linewidth=1.6, markersize=4.5, **style)
            _set_ticks(axes, places, labels, box[2] * WIDTH)
            axes.set_xlabel(self.x_label)
            self._set_heights(axes)
            drawing.figure.text(
                4.0 / WIDTH, 1.0 - 14.0 / height, self.y_label, ha="left", fontsize=10.5, color=color("muted")
            )
            if len(values) > 1:
                draw_legend(axes, list(values), styles)
        return drawing.svg

    def _set_heights(self, axes: "Axes") -> None:
        """The vertical axis."""
        if self.logarithmic:
            axes.set_yscale("log")
            axes.set_yticks(rate_ticks(*axes.get_ylim()))
            axes.set_yticks([], minor=True)
        else:
            points = np.concatenate(list(self.values.values()))
            counts = self.digits == 0 and bool(np.nanmin(points) >= 0.0)
            if counts:
                axes.set_ylim(0.0, max(1.0, 1.06 * float(np.nanmax(points))))
            axes.locator_params(axis="y", nbins=6, integer=counts)
        axes.yaxis.set_major_formatter(_short)

    def _ends(self) -> str:
        """The first and the last value of each line, in words."""
        said = []
        for name, line in zip(quoted(list(self.values)), self.values.values(), strict=True):
            known = line[np.isfinite(line)]
            said.append(f"{name} from {self._number(known[0])} to {self._number(known[-1])}")
        return f"First and last values: {listed(said)}."


def _tick_labels(x: Sequence[str] | Sequence[float]) -> list[str] | None:
    """Names as short as a tick's label must be, dates without their year; `None` for numbers."""
    names = [name for name in x if isinstance(name, str)]
    if len(names) < len(x):
        return None
    if all(_DATE.fullmatch(name) for name in names):
        return [f"{date.day} {date:%b}" for date in map(datetime.date.fromisoformat, names)]
    return [shortened(name, _LETTERS) for name in names]


def _set_ticks(axes: "Axes", places: np.ndarray, labels: list[str] | None, width: float) -> None:
    """As many labels as have room beside each other."""
    room = 0.04 * (float(np.ptp(places)) or 1.0)
    axes.set_xlim(float(places.min()) - room, float(places.max()) + room)
    if labels is None:
        axes.locator_params(axis="x", nbins=8, integer=bool(np.all(places == np.round(places))))
        return
    most = max(1, int(width / (_LETTER * max(map(text_width, labels)) + _GAP)))
    step = -(-len(labels) // most)
    axes.set_xticks(places[::step], labels[::step])


def _short(value: float, _: object) -> str:
    """A number on an axis, in thousands or millions where it is large."""
    size, unit = (1e6, "M") if abs(value) >= 1e6 else (1e3, "k") if abs(value) >= 1e4 else (1.0, "")
    return f"{round(value / size, 10):.6g}{unit}".replace("-", "−")
