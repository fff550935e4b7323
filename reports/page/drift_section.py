"""What has drifted in a log, as a table, with pictures of the scores and their calibration."""

from collections.abc import Iterator

from ..drift import ColumnDrift, DriftReport
from ..drift.drift_report import CALIBRATION, COLUMNS, TEXTS, calibration_cells, drift_cells
from ..names import listed, quoted
from .content import Charts, Column, Heading, Prose, Row, Section, Table
from .line_chart import LineChart
from .lines_section import lines_section
from .prose import prose

_ABOUT = """{headline}{drifted}.

PSI says how far the shares of a column's values have moved, and JS is the Jensen-Shannon divergence in bits. A part
has drifted where its PSI is both beyond chance, at a rate of false alarms of {false_alarms} over all parts, and above
{max_psi}. Rows of one user are not independent, and days differ by nature, so that a small p-value alone proves little.
An arrow leads from the reference to now."""

_FACETS, _LONG = ("what", "verdict"), ("what moved most", "new tokens")


def drift_section(report: DriftReport, names: Iterator[str], title: str) -> Section:
    """The section.

    Args:
        report: made by `drift`.
        names: of figures, each once.
        title: of the section.
    """
    drifted = f": {listed(quoted(report.drifted))}" if report.drifted else ""
    limits = {"false_alarms": f"{report.false_alarms:g}", "max_psi": f"{report.max_psi:g}"}
    said = {"headline": report.headline, "drifted": drifted, **limits}
    columns = [Column(n, text=n in TEXTS, facet=n in _FACETS, wide=n in _LONG) for n in COLUMNS]
    blocks: list[Prose | Heading | Charts | Table] = [
        prose(_ABOUT, said),
        Table("What has drifted", tuple(columns), tuple(Row(drift_cells(part)) for part in report.ordered)),
    ]
    tasks = dict.fromkeys(one.task for one in report.calibration)
    charts = [_histogram(part) for part in report.parts if part.what == "score"]
    charts += [_curve(report, task) for task in tasks]
    if charts:
        blocks += lines_section(charts, names, title, None).blocks
    for task in tasks:
        rows = tuple(Row(calibration_cells(one)) for one in report.calibration if one.task == task)
        heads = tuple(Column(name, text=name == CALIBRATION[0], phrase=name in CALIBRATION[4:]) for name in CALIBRATION)
        blocks.append(Table(f"Calibration of {task} by score, with 95 % intervals", heads, rows, folded=True))
    return Section(title, tuple(blocks))


def _histogram(part: ColumnDrift) -> LineChart:
    """Shares of the bins that hold scores; the missing ones are in the table."""
    bins = part.bins[1:]
    before, now = (sum(counts) or 1 for counts in list(zip(*part.bins, strict=True))[1:])
    lines = {"reference": [100.0 * then / before for _, then, _ in bins], "now": [100.0 * n / now for *_, n in bins]}
    places = [float(number) for number in range(1, len(bins) + 1)]
    return LineChart(
        f"Scores: {part.name}",
        "bin of the reference",
        "rows, %",
        places,
        lines,
        baseline="reference",
        caption=f"{part}.",
    )


def _curve(report: DriftReport, task: str) -> LineChart:
    deciles = [one for one in report.calibration if one.task == task][1:]
    sides = {"reference": [one.then for one in deciles], "now": [one.now for one in deciles]}
    lines = {name: [None if e is None else e.value for e in side] for name, side in sides.items()}
    intervals = {name: [None if e is None else (e.low, e.high) for e in side] for name, side in sides.items()}
    return LineChart(
        f"Calibration: {task}",
        "bin of the reference",
        "Σp / Σy",
        [float(number) for number in range(1, len(deciles) + 1)],
        lines,
        intervals,
        baseline="reference",
        levels=(1.0,),
    )
