"""Slices in which a candidate is worst, as a table."""

from ..names import listed, named
from ..slices import SliceReport
from ..slices.slice_report import COLUMNS, WORSE, slice_cells
from .content import Column, Row, Section, Table
from .prose import prose
from .wording import counted

_ABOUT = """Slices are conjunctions of column values. They were searched in one half of the users and of the seeds and
measured in the other half. **regression**: the candidate is worse than the baseline. **excess**: the candidate knows
less about these rows than its knowledge of the other rows lets one expect. A slice is confirmed where the other half
says the same, at a rate of false discoveries of 5 %. Searched: {searched}.

{found}"""


def slices_section(report: SliceReport, title: str) -> Section:
    """The section.

    Args:
        report: made by `discover_slices`.
        title: of the section.
    """
    searched = listed([f"{count:,} slices of {named(task)}" for task, count in report.slices_searched.items()])
    confirmed = [found for found in report.slices if found.verdict == "confirmed"]
    found = f"Carried over to the other half: {len(report.slices)}. Confirmed there: {len(confirmed)}."
    about = prose(_ABOUT, {"searched": searched, "found": found})
    if not report.slices:
        return Section(title, (about,))
    slice_name, *figures, verdict = COLUMNS
    worse = figures.index(WORSE)
    columns = (
        Column(slice_name, text=True, wide=True),
        Column("task", text=True, facet=True),
        Column(figures.pop(worse), phrase=True),
        Column(verdict, text=True, facet=True),
        Column("objective", text=True, facet=True),
        *(Column(name) for name in figures),
    )
    rows = []
    for one in report.slices:
        described, *cells, judged = slice_cells(one)
        rows.append(Row((described, one.task, cells.pop(worse), judged, one.objective, *cells)))
    both = f"{named(report.candidate)} against {named(report.baseline)}"
    caption = f"Slices of {both}, {counted(report.seeds, 'paired seed')}"
    return Section(title, (about, Table(caption, columns, tuple(rows))))
