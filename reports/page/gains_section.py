"""Gains: what may be said of each task, a picture and the table."""

import dataclasses
from collections.abc import Iterator, Sequence

from ..gain_table import Gain, GainTable
from ..segment_report import SegmentReport
from .content import Chart, Charts, Column, Row, Section, Table
from .interval_chart import GainRow, interval_chart
from .prose import prose
from .wording import NONE, counted, interval, listed, number, percent, plus_minus, shortened

_ABOUT = """`{baseline}` is the baseline. The NE gain is 1 − CE(candidate) / CE(baseline) over the same test rows. Its
95 % interval covers the sampling of users{seeds}. "Smallest visible" is the effect that the comparison would have
found with a chance of 80 %: the pale bands in the pictures. A smaller effect may be there unseen.

{comparisons}"""


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """What the verdicts allow to be said of one task.

    Args:
        task: the task.
        rows: labelled rows.
        verdict: of the task as a whole, which gives the symbol.
        sentence: the conclusion.
        segments: what the segments add.
    """

    task: str
    rows: int
    verdict: str
    sentence: str
    segments: tuple[str, ...] = ()


def conclusions(table: GainTable, reports: Sequence[SegmentReport] = ()) -> list[Conclusion]:
    """One sentence a task, of the table's verdicts and of nothing else.

    Args:
        table: gains of the candidates.
        reports: segment reports of candidates in the table; they add in how many segments a candidate is better and
            worse. Defaults to `()`.

    Example:

    >>> from ..statistics import Estimate
    >>> gain = Gain("click", "ours", 0.8, Estimate(0.01, 0.0, 0.001, 0.001, 50.0), None)
    >>> table = GainTable("base", 5, {"click": 9000}, {"click": Gain("click", "base", 0.81, None, None)}, (gain,))
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
        found.append(Conclusion(task, rows, verdicts[0] if verdicts else "baseline", sentence, about))
    return found


# Segments in which a candidate is worst, named in the conclusions.
_NAMED = 2

_CLAUSES = ("better", "worse", "no difference seen", "one seed: no claim", "insufficient data")


def _clause(verdict: str, gains: Sequence[Gain], baseline: str) -> str:
    names = listed([gain.model for gain in gains])
    verb = "is" if len(gains) == 1 else "are"
    estimates = [gain.gain for gain in gains if gain.gain is not None]
    if verdict == "insufficient data":
        return f"too few users have rows to say anything of {names}"
    with_figures = listed([f"{gain.model} ({plus_minus(gain.gain, 3)})" for gain in gains if gain.gain is not None])
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
            names = [shortened(segment.segment, 40) for segment in worst[:_NAMED]]
            words[-1] += f" ({'most in ' if len(found) > 1 else ''}{listed(names)})"
    return f"{report.candidate} in {counted(len(segments), 'segment')}: {', '.join(words) or 'none has rows'}."


def gains_section(table: GainTable, names: Iterator[str], title: str) -> Section:
    """The section.

    Args:
        table: gains of the candidates.
        names: of figures, each once.
        title: of the section.
    """
    charts = tuple(_chart(table, conclusion, next(names)) for conclusion in conclusions(table) if table.gains)
    rows = []
    for task, base in table.base.items():
        rows.append(_row(base, "baseline"))
        rows += [_row(gain, gain.verdict) for gain in table.gains if gain.task == task]
    columns = (
        Column("model", text=True),
        Column("task", text=True, facet=True),
        Column("NE"),
        Column("NE gain, %"),
        Column("95 % interval, %"),
        Column("smallest visible, %"),
        Column("calibration Σp/Σy"),
        Column("its 95 % interval"),
        Column("verdict", text=True, facet=True),
    )
    caption = f"NE and relative NE gain over {table.baseline} by task and model, {counted(table.seeds, 'paired seed')}"
    about = _about(table)
    return Section(title, (prose(about), Charts(charts), Table(caption, columns, tuple(rows))))


def _about(table: GainTable) -> str:
    tested = [gain for gain in table.gains if gain.verdict not in ("insufficient data", "one seed: no claim")]
    comparisons = (
        f"The table makes {counted(len(tested), 'comparison')}, each with an interval of its own; nothing corrects for "
        f"their number. If no candidate differed, about {0.025 * len(tested):.1f} of them would be called better and "
        "as many worse by chance. Candidates are compared with the baseline, not with each other."
        if tested
        else "Without a second seed the noise of seeds is not known, so that nothing is called better or worse."
        if table.seeds == 1
        else ""
    )
    seeds = f" and of {table.seeds} paired seeds" if table.seeds > 1 else "; the one seed's luck is not in it"
    return _ABOUT.format(baseline=table.baseline, seeds=seeds, comparisons=comparisons)


def _chart(table: GainTable, conclusion: Conclusion, name: str) -> Chart:
    gains = [gain for gain in table.gains if gain.task == conclusion.task]
    said = "; ".join(
        f"{gain.model} {gain.verdict}" + ("" if gain.gain is None else f", {interval(gain.gain, 3)}") for gain in gains
    )
    label = f"NE gain over {table.baseline} on {conclusion.task} in percent, with 95 % intervals: {said}."
    svg = interval_chart(name, [GainRow(gain.model, gain.gain, gain.verdict) for gain in gains], label)
    return Chart(conclusion.task, svg, f"{counted(conclusion.rows, 'row')}. The scale is this task's own.")


def _row(gain: Gain, verdict: str) -> Row:
    found, ratio = gain.gain, gain.calibration
    value, reach = (NONE, NONE) if found is None else interval(found, 3).rstrip(")").split(" (")
    visible = None if found is None else found.smallest_visible
    cells = (gain.model, gain.task, number(gain.normalized_entropy, 5), value, reach, percent(visible, 3))
    if ratio is None:
        return Row((*cells, NONE, NONE, verdict))
    return Row((*cells, f"{ratio.value:.4f}", f"{ratio.low:.4f} to {ratio.high:.4f}", verdict))
