"""Segments: where a candidate is better and where it is worse."""

from collections.abc import Iterator, Sequence

from ..names import listed, named, quoted
from ..segment_report import FALSE_DISCOVERIES, Segment, SegmentReport
from .content import Chart, Charts, Column, Heading, Prose, Row, Section, Table
from .gains_section import MOST_LETTERS
from .interval_chart import GainRow, interval_chart
from .labels import shortened_segment
from .prose import prose
from .wording import NONE, counted, interval, number, percent, signed

_ABOUT = """NE gain of `{candidate}` over `{baseline}` in segments of the test rows, {seeds}. A segment is called better
or worse after a correction for the number of segments: of all segments of a task that are called so, at most about one
in {discoveries} is so by chance (Benjamini and Hochberg). Segments with too few users, positives or negatives show
their size and "insufficient data".

Bars are filled and pointed up (▲) for better, hatched and pointed down (▼) for worse, pale (○) where no difference is
seen; lines are 95 % intervals of users and seeds, of each segment by itself."""

_COLUMNS = (
    Column("segment", text=True, wide=True),
    Column("task", text=True, facet=True),
    Column("NE gain, % (95 % interval)", phrase=True),
    Column("verdict", text=True, facet=True),
    Column("segmentation", text=True, facet=True),
    Column("q value", printed=False),
    Column("rows"),
    Column("share, %"),
    Column("rate, %"),
    Column("of the whole gain, %", printed=False),
    Column("NE by own rate, baseline", printed=False),
    Column("NE by own rate, candidate", printed=False),
    Column("NE by all rows' rate, baseline", printed=False),
    Column("NE by all rows' rate, candidate", printed=False),
    Column("NE recalibrated, baseline", printed=False),
    Column("NE recalibrated, candidate", printed=False),
    Column("calibration, baseline"),
    Column("calibration, candidate"),
)

# Rows of the table of all segments, about 1.2 MB.
MOST_ROWS = 2000

_TABLE_ABOUT = """NE by own rate divides a segment's cross-entropy by the entropy of its own rate: how much of what
there is to know in it a model knows. NE by all rows' rate divides by the entropy of all rows' rate: weighted by
share, these make up the NE of the whole, and compare segments. The NE gain is the same by both. NE recalibrated is
that by own rate after one shift of the segment's logits that makes Σp = Σy: what ranking leaves, not level. "Of the
whole gain" adds up to 100 over a segmentation."""


def segments_section(report: SegmentReport, names: Iterator[str], title: str, most: int) -> Section:
    """The section.

    Args:
        report: a candidate in every segment.
        names: of figures, each once.
        title: of the section.
        most: largest segments of a segmentation that are drawn, and printed on paper.
    """
    seeds = counted(report.seeds, "paired seed")
    about = f"{_ABOUT} One seed allows no claim (◇)." if report.seeds == 1 else _ABOUT
    discoveries = f"{1.0 / FALSE_DISCOVERIES:.0f}"
    names_of = {"candidate": report.candidate, "baseline": report.baseline, "seeds": seeds, "discoveries": discoveries}
    blocks: list[Prose | Heading | Charts | Table] = [prose(about, names_of)]
    for segmentation in report.segmentations:
        charts = []
        for task in report.tasks:
            segments = report.of(segmentation, task)
            if any(segment.gain is not None for segment in segments):
                charts.append(_chart(report, segmentation, task, segments, next(names), most))
        if charts:
            blocks += [Heading(f"By {segmentation}"), Charts(tuple(charts))]
    places = _places(report)
    rows = [Row(_cells(segment), printed=place < most) for place, segment in places]
    blocks += [Heading("All segments"), prose(_TABLE_ABOUT)]
    both = f"{named(report.candidate)} against {named(report.baseline)}"
    caption = f"{both}: {counted(len(rows), 'segment')} of all tasks"
    if left := len(report.segments) - len(rows):
        caption += f"; {left:,} smaller ones, none of them better or worse, are left out"
    blocks.append(Table(caption, _COLUMNS, tuple(rows)))
    return Section(title, tuple(blocks))


def _chart(
    report: SegmentReport, segmentation: str, task: str, segments: Sequence[Segment], name: str, most: int
) -> Chart:
    known = [(segment, segment.gain) for segment in segments if segment.gain is not None]
    rows = [GainRow(f"{named(s.segment)} · {percent(s.share, 1)} %", gain, s.verdict) for s, gain in known[:most]]
    finding = _finding(segments)
    over = f"NE gain of {named(report.candidate)} over {named(report.baseline)}"
    label = f"{over} on {named(task)} by {named(segmentation)}. {finding}"
    caption = f"{finding} The {len(rows)} largest of those with data are drawn." if len(known) > most else finding
    return Chart(task, interval_chart(name, rows, label, bars=True, digits=2), caption)


def _places(report: SegmentReport) -> list[tuple[int, Segment]]:
    """Segments with their places by size, and without the smallest where a browser could not hold all."""
    segments = [
        (place, segment)
        for task in report.tasks
        for segmentation in report.segmentations
        for place, segment in enumerate(report.of(segmentation, task))
    ]
    if len(segments) <= MOST_ROWS:
        return segments
    last = sorted(place for place, _ in segments)[MOST_ROWS]
    return [pair for pair in segments if pair[0] < last or pair[1].verdict in ("better", "worse")]


def _finding(segments: Sequence[Segment]) -> str:
    """How many segments have which verdict, and where it is most so."""
    parts = []
    for verdict, furthest in (("better", max), ("worse", min)):
        found = [s for s in segments if s.verdict == verdict]
        if found:
            one = furthest(found, key=lambda s: s.gain.value if s.gain is not None else 0.0)
            gain = 0.0 if one.gain is None else 100.0 * one.gain.value
            name = quoted([shortened_segment(one.segment, MOST_LETTERS)])[0]
            parts.append(f"{verdict} in {len(found)}, most in {name} ({signed(gain, 2)} %)")
    for verdict in ("no difference seen", "one seed: no claim", "insufficient data"):
        count = sum(s.verdict == verdict for s in segments)
        if count:
            parts.append(f"{verdict} in {count}")
    return f"Of {counted(len(segments), 'segment')}: {listed(parts)}."


def _cells(segment: Segment) -> tuple[str, ...]:
    calibrations = (NONE if c is None else f"{c.value:.3f} ({c.low:.3f} to {c.high:.3f})" for c in segment.calibrations)
    pairs = (segment.entropies, segment.global_entropies, segment.recalibrated_entropies)
    return (
        segment.segment,
        segment.task,
        NONE if segment.gain is None else interval(segment.gain, 2),
        segment.verdict,
        segment.segmentation,
        "<0.0001" if segment.q_value is not None and segment.q_value < 1e-4 else number(segment.q_value, 4),
        f"{segment.rows:,}",
        percent(segment.share, 2),
        percent(segment.rate, 2),
        NONE if segment.contribution is None else signed(100.0 * segment.contribution, 1).lstrip("+"),
        *(number(value, 4) for pair in pairs for value in pair),
        *calibrations,
    )
