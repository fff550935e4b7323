"""Groups: what the level-1 codes of a placement stand for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ..group_report import Group, GroupReport
from ..names import named
from .content import Chart, Charts, Column, Heading, Prose, Row, Section, Table
from .line_axes import LEFT, rate_ticks
from .prose import prose
from .svg import HALO, SvgFigure
from .theme import COLORS, color
from .wording import NONE, counted, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Edges between the five colours of a rate over that of all rows.
EDGES = (0.67, 0.9, 1.1, 1.5)
_NAMES = ("<0.67", "0.67–0.9", "0.9–1.1", "1.1–1.5", "≥1.5")
_FILLS = tuple(color(name) for name in COLORS if name.startswith("rate-"))

# Bubbles that get their code as a label, where it is not on another's.
_LABELLED = 16

# Share of rows from which on a group is named as the one of the highest or lowest rate.
_NAMED = 0.01

_ABOUT = """{rows} fall to {groups} of {size} at level 1 of `{placement}`. Each bubble is a group. Its area is the share
of rows, and its colour is the rate of the task over that of all rows. {place} Large bubbles carry their code."""

_PLACED = "Groups that lie close to each other have similar codes."
_UNPLACED = """Groups with more rows are further to the right, and groups with a higher rate are further up; groups
without positives lie at the lower edge."""


def groups_section(
    report: GroupReport,
    positions: Mapping[int, tuple[float, float]] | None,
    names: Iterator[str],
    title: str,
    most: int,
) -> Section:
    """The section.

    Args:
        report: the groups of a placement.
        positions: a point of the plane by code; `None` draws rates over shares.
        names: of figures, each once.
        title: of the section.
        most: largest groups that are printed on paper.

    Raises:
        ValueError: when a group has no position.
    """
    lacking = [group.code for group in report.groups if positions is not None and group.code not in positions]
    if lacking:
        raise ValueError(f"`positions` must have a point for each group. Codes without one: {lacking[:10]}.")
    about = {
        "rows": counted(report.rows, "row"),
        "groups": f"{len(report.groups):,}",
        "size": counted(report.codebook_size, "code"),
        "placement": report.placement,
        "place": _UNPLACED if positions is None else _PLACED,
    }
    tasks = [task for task, rate in report.rates.items() if rate]
    charts = Charts(tuple(_chart(report, task, positions, next(names)) for task in tasks))
    blocks: tuple[Prose | Heading | Charts | Table, ...] = (
        prose(_ABOUT, about),
        charts,
        _groups(report, most),
        _levels(report),
    )
    return Section(title, blocks)


def _lift(report: GroupReport, group: Group, task: str) -> float | None:
    rate, whole = group.rates.get(task), report.rates[task]
    return None if rate is None or not whole else rate / whole


def _groups(report: GroupReport, most: int) -> Table:
    tasks = list(report.rates)
    rows = []
    for place, group in enumerate(report.groups):
        rates = [percent(group.rates.get(task), 2) for task in tasks]
        lifts = [number(_lift(report, group, task), 2) for task in tasks]
        told = "; ".join(f"{named(found.value)} (×{found.lift:.1f})" for found in group.lifts) or NONE
        pairs = [cell for pair in zip(rates, lifts, strict=True) for cell in pair]
        drift = number(group.drift, 2)
        rows.append(Row((str(group.code), percent(group.share, 2), told, *pairs, drift), printed=place < most))
    columns = [
        Column("group"),
        Column("share, %"),
        Column("feature values (lift)", text=True, wide=True),
        *(column for task in tasks for column in (Column(f"{task}, %"), Column(f"{task} over all rows'"))),
        Column("last period's share over the first's"),
    ]
    return Table(f"Level-1 groups at {named(report.placement)}, the largest first", tuple(columns), tuple(rows))


def _levels(report: GroupReport) -> Table:
    rows = tuple(
        Row(
            (
                str(level.level),
                str(level.used),
                str(level.dead),
                f"{level.perplexity:.1f}",
                number(level.residual_norm, 3),
            )
        )
        for level in report.levels
    )
    columns = tuple(Column(name) for name in ("level", "codes used", "dead codes", "perplexity", "residual norm"))
    return Table(f"Use of the {report.codebook_size} codes of each level at {named(report.placement)}", columns, rows)


def _chart(report: GroupReport, task: str, positions: Mapping[int, tuple[float, float]] | None, name: str) -> Chart:
    lifts = [_lift(report, group, task) for group in report.groups]
    finding = _finding(report, task, lifts)
    label = f"Map of the level-1 groups at {named(report.placement)} by rate of {named(task)}. {finding}"
    return Chart(task, _bubbles(report, lifts, positions, name, label), finding)


def _finding(report: GroupReport, task: str, lifts: Sequence[float | None]) -> str:
    known = [(lift, group) for lift, group in zip(lifts, report.groups, strict=True) if lift is not None]
    large = [pair for pair in known if pair[1].share >= _NAMED]
    known = large or known
    if not known:
        return "No group has labelled rows."
    (most, highest), (least, lowest) = (end(known, key=lambda pair: pair[0]) for end in (max, min))
    whole = percent(report.rates[task], 2)
    among = f"Of groups with {100 * _NAMED:.0f} % of rows or more" if large else "Of all groups"
    return (
        f"The rate is {whole} %. {among}, {highest.code} has the highest, ×{most:.2f} of it, and {lowest.code} the "
        f"lowest, ×{least:.2f}."
    )


def _bubbles(
    report: GroupReport,
    lifts: Sequence[float | None],
    positions: Mapping[int, tuple[float, float]] | None,
    name: str,
    label: str,
) -> Markup:
    shares = np.array([group.share for group in report.groups])
    sizes = np.clip(900.0 * shares / shares.max(), 12.0, None)
    fills = [color("paper") if lift is None else _FILLS[int(np.searchsorted(EDGES, lift, "right"))] for lift in lifts]
    with SvgFigure(name, 310.0, label) as drawing:
        axes = drawing.figure.add_axes((LEFT, 0.22, 0.985 - LEFT, 0.76))
        if positions is None:
            # Below all others and below the rate of all rows, so that none without positives seems to have some.
            floor = min([1.0, *(lift for lift in lifts if lift)]) / 1.4
            points = np.array([(share, max(lift or floor, floor)) for share, lift in zip(shares, lifts, strict=True)])
            _set_scales(axes, points)
        else:
            points = np.array([positions[group.code] for group in report.groups], "float64")
            axes.margins(0.12)
            axes.set_axis_off()
            axes.set_position((0.02, 0.1, 0.96, 0.88))
        edge: dict[str, Any] = {"edgecolors": color("ink"), "linewidths": 0.6}
        axes.scatter(points[:, 0], points[:, 1], s=sizes, c=fills, clip_on=False, **edge)
        axes.autoscale_view()
        taken: list[np.ndarray] = []
        words: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "weight": "bold"}
        for point, group in list(zip(points, report.groups, strict=True))[:_LABELLED]:
            place = axes.transData.transform(point)
            if all(abs(place[0] - x) > 20.0 or abs(place[1] - y) > 12.0 for x, y in taken):
                taken.append(place)
                axes.text(point[0], point[1], str(group.code), gid=HALO, **words)
        handles = [
            axes.scatter([], [], s=60, color=fill, label=rates, **edge)
            for fill, rates in zip(_FILLS, _NAMES, strict=True)
        ]
        drawing.figure.legend(
            handles=handles, loc="lower center", ncols=5, columnspacing=0.7, handletextpad=0.0, borderaxespad=0.2
        )
    return drawing.svg


def _set_scales(axes: "Axes", points: np.ndarray) -> None:
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    axes.set(xscale="log", yscale="log", xlim=(left / 1.4, right * 1.6))
    axes.set_ylim(min(low / 1.3, 0.8), max(high * 1.3, 1.25))
    axes.axhline(1.0, color=color("muted"), linestyle=":", linewidth=1.2)
    for axis, limits, unit in (
        (axes.xaxis, axes.get_xlim(), lambda value, _: f"{100 * value:g} %"),
        (axes.yaxis, axes.get_ylim(), lambda value, _: f"×{value:g}"),
    ):
        axis.set_ticks(rate_ticks(*limits, most=6))
        axis.set_ticks([], minor=True)
        axis.set_major_formatter(unit)
    axes.set_xlabel("share of rows")
    axes.set_ylabel("rate over that of all rows", labelpad=2)
