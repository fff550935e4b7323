"""Relative NE gains of candidates over a baseline, with intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .markdown import markdown_table
from .statistics import Estimate, PredictionSums, SegmentFigures

COLUMNS = (
    "task",
    "model",
    "NE",
    "NE gain, %",
    "95 % interval, %",
    "smallest visible, %",
    "positives",
    "calibration",
    "verdict",
)


@dataclasses.dataclass(frozen=True)
class Gain:
    """One candidate on one task.

    Args:
        task: the task.
        model: the candidate.
        normalized_entropy: its NE, mean over seeds.
        gain: relative NE gain over the baseline; `None` where too few users have rows, or all labels are of one class.
        calibration: Σp / Σy.

    Example:

    >>> Gain("click", "ours", 0.87, None, None).verdict
    'insufficient data'
    """

    task: str
    model: str
    normalized_entropy: float | None
    gain: Estimate | None
    calibration: Estimate | None

    @property
    def verdict(self) -> str:
        """`"better"` or `"worse"` where the interval of users and seeds together says so."""
        if self.gain is None:
            return "insufficient data"
        if self.gain.seed_error is None:
            return "one seed: no claim"
        return "better" if self.gain.above else "worse" if self.gain.below else "no difference seen"


@dataclasses.dataclass(frozen=True)
class GainTable:
    """Relative NE gain of every candidate on every task. Made by `gain_table`.

    The gain is `1 - CE(candidate) / CE(baseline)` over all test rows and seeds. Its
    interval covers the sampling of users (their rows go together) and the seeds, and
    a win is claimed only outside both. "Smallest visible" is the effect that such a table would have found with a
    chance of 80 %; a smaller effect may exist unseen.

    Args:
        baseline: name of the baseline.
        seeds: number of paired seeds.
        rows: labelled rows by task.
        base: NE and calibration of the baseline by task, as a `Gain` without gain.
        gains: one entry per candidate and task.
        positives: sum of the weighted labels by task; where labels are rare, it decides how sure a gain is.

    Example:

    ```python
    print(gr.reports.gain_table(sums).to_markdown())
    ```
    """

    baseline: str
    seeds: int
    rows: dict[str, int]
    base: dict[str, Gain]
    gains: tuple[Gain, ...]
    positives: dict[str, float]

    def of(self, model: str, task: str) -> Gain:
        """The entry of a candidate and a task."""
        return next(gain for gain in self.gains if (gain.model, gain.task) == (model, task))

    def cells(self) -> list[tuple[str, ...]]:
        """The table's cells as text, in the order of `COLUMNS`."""
        found = []
        for task, base in self.base.items():
            positives = f"{self.positives[task]:,.0f}"
            for gain in (base, *(gain for gain in self.gains if gain.task == task)):
                verdict = "baseline" if gain is base else gain.verdict
                figures = [""] * 3 if gain is base else _shown(gain)
                entropy = _number(gain.normalized_entropy)
                found.append((task, gain.model, entropy, *figures, positives, _ratio(gain), verdict))
        return found

    def to_markdown(self) -> str:
        """A Markdown table."""
        return markdown_table(COLUMNS, self.cells(), text_columns=(0, 1, 8))

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, `None` for what is undefined."""

        def entry(gain: Gain) -> dict[str, Any]:
            estimates = {name: getattr(gain, name) for name in ("gain", "calibration")}
            return {
                "task": gain.task,
                "model": gain.model,
                "normalized_entropy": gain.normalized_entropy,
                **{name: None if value is None else value.to_dict() for name, value in estimates.items()},
                "verdict": gain.verdict,
            }

        return {
            "baseline": self.baseline,
            "seeds": self.seeds,
            "rows": self.rows,
            "positives": self.positives,
            "base": {task: entry(gain) for task, gain in self.base.items()},
            "gains": [entry(gain) for gain in self.gains],
        }


def gain_table(sums: PredictionSums, candidates: Sequence[str] | None = None) -> GainTable:
    """Compare candidates with the baseline, the first model of the sums, on all rows.

    Args:
        sums: predictions of all models, added seed by seed.
        candidates: names of models. `None` takes all but the first. Defaults to `None`.

    Raises:
        ValueError: on an unknown candidate, or seeds that did not add the same rows.

    Example:

    >>> import numpy as np, polars as pl
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 4000).astype(float)
    >>> frame = {"user": np.arange(4000) % 500, "click": y, "old:click": 0.4 + 0.2 * y, "new:click": 0.35 + 0.3 * y}
    >>> sums = PredictionSums(["click"], ["old", "new"], user="user")
    >>> for seed in range(3):
    ...     sums.update(pl.DataFrame(frame), seed)
    >>> found = gain_table(sums).of("new", "click")
    >>> round(found.gain.value, 3), found.verdict
    (0.157, 'better')
    """
    baseline, *others = sums.models
    candidates = others if candidates is None else list(candidates)
    unknown = [name for name in candidates if name not in others]
    if unknown:
        raise ValueError(f"`candidates` names unknown models {unknown}. Candidates in the sums: {others}.")
    seeds = len(sums.seeds)
    base = {task: _gain(sums, task, baseline, None) for task in sums.tasks}
    gains = tuple(_gain(sums, task, model, baseline) for task in sums.tasks for model in candidates)
    positives = {task: SegmentFigures(sums, task).positives for task in sums.tasks}
    return GainTable(baseline, seeds, {task: sums.rows(task) for task in sums.tasks}, base, gains, positives)


def _gain(sums: PredictionSums, task: str, model: str, baseline: str | None) -> Gain:
    figures = SegmentFigures(sums, task)
    gain = None if baseline is None else figures.gain(model, baseline)
    return Gain(task, model, figures.normalized_entropy(model), gain, figures.calibration(model))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5f}"


def _ratio(gain: Gain) -> str:
    return "–" if gain.calibration is None else f"{gain.calibration.value:.4f}"


def _shown(gain: Gain) -> tuple[str, ...]:
    found = gain.gain
    if found is None:
        return ("–", "–", "–")
    value, low, high, visible = (100 * v for v in (found.value, found.low, found.high, found.smallest_visible))
    return (f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{visible:.3f}")
