"""Where a candidate is better and where it is worse."""

import dataclasses
from typing import Any

from scipy import stats

from .escape_markdown import escape_markdown
from .markdown import markdown_table
from .statistics import Estimate, PredictionSums, SegmentFigures

# Two-sided rate of false discoveries among the segments called better or worse.
FALSE_DISCOVERIES = 0.05

COLUMNS = (
    "segment",
    "rows",
    "share, %",
    "rate, %",
    "NE, baseline",
    "NE, candidate",
    "NE gain, % (95 % interval)",
    "of the whole gain, %",
    "calibration, baseline",
    "calibration, candidate",
    "verdict",
)


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment of one task.

    Args:
        segmentation: how rows were cut.
        segment: which of the segments.
        task: the task.
        rows: labelled rows.
        positives: sum of their weighted labels.
        share: share of all rows' weight.
        rate: mean label.
        entropies: NE of baseline and candidate, over the entropy of the segment's own rate.
        global_entropies: the same over the entropy of all rows' rate.
        recalibrated_entropies: own NE after the shift of the logits that makes Σp = Σy.
        gain: relative NE gain; `None` for insufficient data.
        contribution: share of the whole's gain that arises here; a segmentation's add up to 1.
        calibrations: Σp / Σy of baseline and candidate.
        calibration_errors: expected calibration error of baseline and candidate.
        q_value: of the gain, by Benjamini and Hochberg over all segments of the task.

    Example:

    ```python
    worst = min((s for s in report.segments if s.gain is not None), key=lambda s: s.gain.value)
    print(worst.segment, worst.gain.value, worst.verdict)
    ```
    """

    segmentation: str
    segment: str
    task: str
    rows: int
    positives: float
    share: float
    rate: float | None
    entropies: tuple[float | None, float | None]
    global_entropies: tuple[float | None, float | None]
    recalibrated_entropies: tuple[float | None, float | None]
    gain: Estimate | None
    contribution: float | None
    calibrations: tuple[Estimate | None, Estimate | None]
    calibration_errors: tuple[float | None, float | None]
    q_value: float | None = None

    @property
    def verdict(self) -> str:
        """`"better"` or `"worse"` where that holds after the correction for the number of segments."""
        if self.gain is None:
            return "insufficient data"
        if self.gain.seed_error is None:
            return "one seed: no claim"
        if self.q_value is None or self.q_value > FALSE_DISCOVERIES:
            return "no difference seen"
        return "better" if self.gain.value > 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        calibrations = [None if c is None else c.to_dict() for c in self.calibrations]
        gain = None if self.gain is None else self.gain.to_dict()
        return {**plain, "gain": gain, "calibrations": calibrations, "verdict": self.verdict}


@dataclasses.dataclass(frozen=True)
class SegmentReport:
    """A candidate against its baseline in every segment of every task. Made by `segment_report`.

    Args:
        baseline: name of the baseline.
        candidate: name of the candidate.
        seeds: number of paired seeds.
        segments: one entry per segment and task.

    Example:

    ```python
    report = gr.reports.segment_report(sums, "candidate")
    print([s.segment for s in report.segments if s.verdict == "worse"])
    ```
    """

    baseline: str
    candidate: str
    seeds: int
    segments: tuple[Segment, ...]

    def of(self, segmentation: str, task: str) -> list[Segment]:
        """Segments of a segmentation, the largest first."""
        found = [s for s in self.segments if (s.segmentation, s.task) == (segmentation, task)]
        return sorted(found, key=lambda s: -s.share)

    @property
    def segmentations(self) -> list[str]:
        """Names of the segmentations, in the order of the sums."""
        return list(dict.fromkeys(s.segmentation for s in self.segments))

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(s.task for s in self.segments))

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, `None` for what is undefined."""
        return {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "seeds": self.seeds,
            "segments": [segment.to_dict() for segment in self.segments],
        }

    def to_markdown(self, most: int = 20) -> str:
        """A table per task and segmentation, of the `most` largest segments."""
        parts = []
        for task in self.tasks:
            for segmentation in self.segmentations:
                segments = self.of(segmentation, task)
                table = markdown_table(COLUMNS, [segment_cells(s) for s in segments[:most]], text_columns=(0, 10))
                left = f"\n\n{len(segments) - most} smaller segments are not shown." if len(segments) > most else ""
                title = f"### {escape_markdown(task)}, by {escape_markdown(segmentation)}"
                parts.append(f"{title}\n\n{table}{left}\n")
        return "\n".join(parts)


def segment_report(
    sums: PredictionSums, candidate: str, min_users: int = 30, min_positives: float = 20.0
) -> SegmentReport:
    """Compare a candidate with the baseline in every segment that the sums know.

    A segment with fewer users, positives or negatives than asked for shows its size
    and rate, and "insufficient data" in place of figures that chance would make.

    Args:
        sums: predictions of both models, the baseline first.
        candidate: name of the candidate.
        min_users: least number of users' buckets with rows. Defaults to `30`.
        min_positives: least sum of labels, and of what lacks to 1. Defaults to `20`.

    Raises:
        ValueError: on an unknown candidate.

    Example:

    ```python
    segmentations = [gr.reports.Segmentation("tab"), gr.reports.Segmentation.codes("user", levels=1)]
    sums = gr.reports.PredictionSums(["click"], ["baseline", "ours"], "user_id", segmentations)
    for seed, frame in enumerate(frames):
        sums.update(frame, seed)
    print(gr.reports.segment_report(sums, "ours").to_markdown())
    ```
    """
    baseline, *candidates = sums.models
    if candidate not in candidates:
        raise ValueError(f"`candidate` must be one of {candidates}. Received: candidate={candidate!r}.")
    seeds, found = len(sums.seeds), []
    for task in sums.tasks:
        whole = SegmentFigures(sums, task)
        known = whole.normalized_entropy(baseline) is not None
        gained = whole.loss(baseline) - whole.loss(candidate) if known else 0.0
        of_task = []
        for segmentation in sums.segmentations:
            for segment in sums.segments(str(segmentation.name)):
                figures = SegmentFigures(sums, task, str(segmentation.name), segment)
                if figures.rows:
                    enough = figures.users >= min_users and _least_class(figures) >= min_positives
                    of_task.append(_segment(figures, baseline, candidate, gained, enough))
        found += _with_q_values(of_task)
    return SegmentReport(baseline, candidate, seeds, tuple(found))


def _least_class(figures: SegmentFigures) -> float:
    rate = figures.rate or 0.0
    return figures.positives * min(1.0, (1.0 - rate) / rate) if rate else 0.0


def _segment(figures: SegmentFigures, baseline: str, candidate: str, gained: float, enough: bool) -> Segment:
    both = (baseline, candidate)

    def pair(figure: Any) -> Any:
        return tuple(figure(model) for model in both) if enough else (None, None)

    return Segment(
        segmentation=figures.segmentation,
        segment=figures.segment,
        task=figures.task,
        rows=figures.rows,
        positives=figures.positives,
        share=figures.share,
        rate=figures.rate,
        entropies=pair(figures.normalized_entropy),
        global_entropies=pair(lambda model: figures.normalized_entropy(model, own=False)),
        recalibrated_entropies=pair(figures.recalibrated_entropy),
        gain=figures.gain(candidate, baseline) if enough else None,
        contribution=(figures.loss(baseline) - figures.loss(candidate)) / gained if gained else None,
        calibrations=pair(figures.calibration),
        calibration_errors=pair(figures.expected_calibration_error),
    )


def _with_q_values(segments: list[Segment]) -> list[Segment]:
    tested = [number for number, segment in enumerate(segments) if segment.gain is not None]
    if tested:
        adjusted = stats.false_discovery_control([segments[number].gain.p_value for number in tested])  # type: ignore[union-attr]
        for number, q_value in zip(tested, adjusted, strict=True):
            segments[number] = dataclasses.replace(segments[number], q_value=float(q_value))
    return segments


def segment_cells(segment: Segment) -> tuple[str, ...]:
    """A segment's cells as text, in the order of `COLUMNS`."""
    gain = "–"
    if segment.gain is not None:
        value, low, high = (100 * v for v in (segment.gain.value, segment.gain.low, segment.gain.high))
        gain = f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
    return (
        segment.segment,
        f"{segment.rows:,}",
        f"{100 * segment.share:.1f}",
        "–" if segment.rate is None else f"{100 * segment.rate:.2f}",
        *("–" if value is None else f"{value:.4f}" for value in segment.entropies),
        gain,
        "–" if segment.contribution is None else f"{100 * segment.contribution:.1f}",
        *("–" if c is None else f"{c.value:.3f} ({c.low:.3f} – {c.high:.3f})" for c in segment.calibrations),
        segment.verdict,
    )
