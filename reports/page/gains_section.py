"""Gains: a conclusion for each task, a picture and the table."""

import dataclasses
from collections.abc import Iterator, Sequence

from ..gain_table import Gain, GainTable
from ..names import listed, named, quoted
from ..segment_report import SegmentReport
from .content import Chart, Charts, Column, Prose, Row, Section, Table
from .interval_chart import GainRow, interval_chart
from .labels import shortened_segment
from .prose import prose
from .wording import NONE, counted, interval, number, percent, plus_minus

_ABOUT = """`{baseline}` is the baseline, and all models have the same test rows. The 95 % interval of an NE gain covers
the sampling of {unit}{seeds}. "Smallest visible" is the effect that the comparison would have
found with a chance of 80 %; the pale bands in the pictures show it. A smaller effect may exist unseen. Positives are
the sum of the labels; where they are few, only large effects can be seen.

{comparisons}"""


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """The conclusion that the verdicts allow for one task.

    Args:
        task: the task.
        rows: labelled rows.
        positives: sum of their labels.
        verdict: of the task as a whole, which gives the symbol.
        sentence: the conclusion.
        segments: what the segments add.
        comparison: title of the gains, where a page has several; else empty.
    """

    task: str
    rows: int
    positives: float
    verdict: str
    sentence: str
    segments: tuple[str, ...] = ()
    comparison: str = ""


def conclusions(table: GainTable, reports: Sequence[SegmentReport] = (), comparison: str = "") -> list[Conclusion]:
    """One sentence per task, made of the table's verdicts alone.

    Args:
        table: gains of the candidates.
        reports: segment reports of candidates in the table; they add in how many segments a candidate is better and
            worse. Defaults to `()`.
        comparison: title of the gains, to tell them from others of the page. Defaults to `""`.

    Example:

    >>> from ..statistics import Estimate
    >>> gain = Gain("click", "ours", 0.8, Estimate(0.01, 0.0, 0.001, 0.001, 50.0), None)
    >>> base = {"click": Gain("click", "base", 0.81, None, None)}
    >>> table = GainTable("base", 5, {"click": 9000}, base, (gain,), {"click": 90.0})
    >>> conclusions(table)[0].sentence
    'ours (+1.000 ± 0.284 %) is better than base.'
    """
    found = []
    for task, rows in table.rows.items():
        gains = [gain for gain in table.gains if gain.task == task]
        by_verdict: dict[str, list[Gain]] = {}
        for gain in gains:
            by_verdict.setdefault(gain.verdict, []).append(gain)
        words = [_clause(verdict, by_verdict[verdict], table.baseline) for verdict in _CLAUSES if verdict in by_verdict]
        sentence = "; ".join(words) + "." if words else "There is no candidate."
        verdicts = [verdict for verdict in ("better", "worse") if verdict in by_verdict] or list(by_verdict)[:1]
        about = tuple(
            _in_segments(report, task)
            for report in reports
            if report.baseline == table.baseline and any(gain.model == report.candidate for gain in gains)
        )
        verdict = verdicts[0] if verdicts else "baseline"
        found.append(Conclusion(task, rows, table.positives[task], verdict, sentence, about, comparison))
    return found


# Segments in which a candidate is worst, named in the conclusions, and how long their names may be in a sentence.
_NAMED = 2
MOST_LETTERS = 120

_CLAUSES = ("better", "worse", "no difference seen", "one seed: no claim", "insufficient data")


def _clause(verdict: str, gains: Sequence[Gain], baseline: str) -> str:
    baseline, models = named(baseline), quoted([gain.model for gain in gains])
    names = listed(models)
    verb = "is" if len(gains) == 1 else "are"
    estimates = [gain.gain for gain in gains if gain.gain is not None]
    if verdict == "insufficient data":
        return f"too few users, positives or negatives to say anything of {names}"
    pairs = zip(models, estimates, strict=True)
    with_figures = listed([f"{model} ({plus_minus(estimate, 3)})" for model, estimate in pairs])
    if verdict == "one seed: no claim":
        return f"one seed allows no claim about {with_figures} against {baseline}"
    if verdict == "no difference seen":
        visible = max(estimate.smallest_visible for estimate in estimates)
        return (
            f"no difference from {baseline} is seen for {names}, where a difference of {100 * visible:.3f} % would "
            "have been found four times in five"
        )
    return f"{with_figures} {verb} {verdict} than {baseline}"


def _in_segments(report: SegmentReport, task: str) -> str:
    segments = [segment for segment in report.segments if segment.task == task]
    words = []
    for verdict in _CLAUSES:
        found = [segment for segment in segments if segment.verdict == verdict]
        words += [f"{len(found):,} {verdict}"] if found else []
        if verdict == "worse" and found:
            worst = sorted(found, key=lambda segment: segment.gain.value if segment.gain is not None else 0.0)
            names = quoted([shortened_segment(segment.segment, MOST_LETTERS) for segment in worst[:_NAMED]])
            words[-1] += f" ({'most in ' if len(found) > 1 else ''}{listed(names)})"
    said = listed(words) if words else "none has rows"
    return f"{named(report.candidate)} in {counted(len(segments), 'segment')}: {said}."


def gains_section(table: GainTable, names: Iterator[str], title: str, unit: str) -> Section:
    """The section.

    Args:
        table: gains of the candidates.
        names: of figures, each once.
        title: of the section.
        unit: what the intervals take as independent.
    """
    charts = tuple(_chart(table, found, next(names)) for found in conclusions(table) if _drawn(table, found.task))
    rows = []
    for task, base in table.base.items():
        positives = table.positives[task]
        rows.append(_row(base, positives, "baseline"))
        rows += [_row(gain, positives, gain.verdict) for gain in table.gains if gain.task == task]
    columns = (
        # The most important columns come first, since a narrow screen shows the columns to the left.
        Column("model", text=True),
        Column("task", text=True, facet=True),
        Column("NE gain, % (95 % interval)", phrase=True),
        Column("verdict", text=True, facet=True),
        Column("positives"),
        Column("NE"),
        Column("smallest visible, %"),
        Column("calibration Σp/Σy (95 % interval)", phrase=True),
    )
    seeds = counted(table.seeds, "paired seed") if table.seeds > 1 else "one seed"
    caption = f"NE and relative NE gain over {named(table.baseline)} by task and model, {seeds}"
    return Section(title, (_about(table, unit), Charts(charts), Table(caption, columns, tuple(rows))))


def _about(table: GainTable, unit: str) -> Prose:
    tested = [gain for gain in table.gains if gain.verdict not in ("insufficient data", "one seed: no claim")]
    comparisons = (
        f"The table makes {counted(len(tested), 'comparison')}, each with an interval of its own; nothing corrects for "
        f"their number. If no candidate differed, about {0.025 * len(tested):.1f} of them would be called better and "
        "as many worse by chance. Candidates are compared with the baseline, not with each other."
        if tested
        else "Without a second seed the noise of seeds is not known, so nothing is called better or worse."
        if table.seeds == 1
        else ""
    )
    seeds = f" and of {table.seeds} paired seeds" if table.seeds > 1 else "; it leaves out the luck of the one seed"
    about = _ABOUT.replace("{seeds}", seeds).replace("{comparisons}", comparisons)
    return prose(about, {"baseline": table.baseline, "unit": unit})


def _drawn(table: GainTable, task: str) -> list[Gain]:
    return [gain for gain in table.gains if gain.task == task and gain.gain is not None]


def _chart(table: GainTable, conclusion: Conclusion, name: str) -> Chart:
    gains = _drawn(table, conclusion.task)
    rows = [GainRow(gain.model, gain.gain, gain.verdict) for gain in gains if gain.gain is not None]
    models = quoted([row.label for row in rows])
    said = "; ".join(f"{model} {row.verdict}, {interval(row.gain, 3)}" for model, row in zip(models, rows, strict=True))
    over = f"NE gain over {named(table.baseline)} on {named(conclusion.task)}"
    svg = interval_chart(name, rows, f"{over} in percent, with 95 % intervals: {said}.")
    size = f"{counted(conclusion.rows, 'row')}, {conclusion.positives:,.0f} positives"
    return Chart(conclusion.task, svg, f"{size}. The scale is this task's own.")


def _row(gain: Gain, positives: float, verdict: str) -> Row:
    found, ratio = gain.gain, gain.calibration
    value, visible = (NONE, NONE) if found is None else (interval(found, 3), percent(found.smallest_visible, 3))
    calibration = NONE if ratio is None else f"{ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f})"
    figures = (value, verdict, f"{positives:,.0f}", number(gain.normalized_entropy, 5), visible, calibration)
    return Row((gain.model, gain.task, *figures))
