"""Candidates against a baseline on the same rows."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .task_metrics import TaskMetrics

HEADER = ("task", "model", "NE", "NE gain", "AUC", "calibration", "rate", "rows")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Figures of a baseline and of candidates, and the relative NE gain of each. Made by `compare`.

    Args:
        baseline: metrics of the baseline by task.
        candidates: metrics of each candidate by name, then by task.
        baseline_name: how the baseline is called in tables. Defaults to `"baseline"`.

    Example:

    >>> from .task_metrics import task_metrics
    >>> found = compare({"click": task_metrics([0, 1], [0.4, 0.6])}, {})
    >>> print(found.to_markdown().splitlines()[0])
    | task | model | NE | NE gain | AUC | calibration | rate | rows |
    """

    baseline: Mapping[str, TaskMetrics]
    candidates: Mapping[str, Mapping[str, TaskMetrics]]
    baseline_name: str = "baseline"

    def gain(self, candidate: str, task: str) -> float | None:
        """Relative NE gain, `1 - CE(candidate) / CE(baseline)`: 0.001 is a tenth of a percent better.

        On the same rows both NEs share their denominator, so this is also `1 - NE / NE`. `None` where a
        cross-entropy is undefined (no rows) or the baseline's is 0.
        """
        before, after = self.baseline[task].cross_entropy, self.candidates[candidate][task].cross_entropy
        if before is None or after is None or before == 0.0:
            return None
        return 1.0 - after / before

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, with `None` for what is undefined: safe for `json.dumps`."""
        candidates = {
            name: {task: {**found.to_dict(), "ne_gain": self.gain(name, task)} for task, found in by_task.items()}
            for name, by_task in self.candidates.items()
        }
        baseline = {task: found.to_dict() for task, found in self.baseline.items()}
        return {"baseline_name": self.baseline_name, "baseline": baseline, "candidates": candidates}

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells as text, one row per task and model, in the order of `HEADER`."""
        cells = []
        for task, before in self.baseline.items():
            cells.append((task, self.baseline_name, *_cells(before, "")))
            for name, by_task in self.candidates.items():
                gain = self.gain(name, task)
                cells.append((task, name, *_cells(by_task[task], "-" if gain is None else f"{100 * gain:+.3f} %")))
        return cells

    def to_markdown(self) -> str:
        """A Markdown table of NE, NE gain, AUC and calibration per task and model."""
        lines = ["| " + " | ".join(HEADER) + " |", "|---|---|" + "---:|" * (len(HEADER) - 2)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows()]
        return "\n".join(lines) + "\n"

    def to_table(self, title: str = "Normalized entropy per task") -> Any:
        """The same as a `rich.table.Table`, for `rich.print`; needs `rich` only when called."""
        from rich.table import Table

        table = Table(title=title)
        for number, column in enumerate(HEADER):
            table.add_column(column, justify="left" if number < 2 else "right")
        previous = None
        for row in self.rows():
            if previous not in (None, row[0]):
                table.add_section()
            table.add_row(row[0] if previous != row[0] else "", *row[1:])
            previous = row[0]
        return table


def compare(
    baseline: Mapping[str, TaskMetrics],
    candidates: Mapping[str, Mapping[str, TaskMetrics]],
    baseline_name: str = "baseline",
) -> Comparison:
    """Compare candidates with a baseline, task by task, on the same rows.

    A relative NE gain means something only where both models were scored on the same rows, so tasks, row counts
    and rates must agree.

    Args:
        baseline: metrics of the baseline by task.
        candidates: metrics of each candidate by name, then by task.
        baseline_name: how the baseline is called in tables. Defaults to `"baseline"`.

    Raises:
        ValueError: if the tasks differ or a candidate was scored on other rows.

    Example:

    >>> from .task_metrics import task_metrics
    >>> labels = [0, 0, 1, 1]
    >>> found = compare(
    ...     {"click": task_metrics(labels, [0.5, 0.5, 0.5, 0.5])},
    ...     {"ours": {"click": task_metrics(labels, [0.4, 0.5, 0.5, 0.6])}},
    ... )
    >>> round(found.gain("ours", "click"), 4)
    0.1315
    """
    if not baseline:
        raise ValueError(
            '`baseline` must hold the metrics of at least one task, e.g. {"click": task_metrics(...)}. Received: {}.'
        )
    for name, by_task in candidates.items():
        if name == baseline_name:
            raise ValueError(f"A candidate is called {name!r}, as the baseline. Rename one, or pass `baseline_name`.")
        if set(by_task) != set(baseline):
            raise ValueError(
                f"Candidate {name!r} must have the baseline's tasks. "
                f"Received: {sorted(by_task)}; expected: {sorted(baseline)}."
            )
        for task, after in by_task.items():
            if not _same_rows(baseline[task], after):
                raise ValueError(
                    f"Candidate {name!r}, task {task!r}: scored on other rows than the baseline "
                    f"({after.rows} rows of rate {after.rate} against {baseline[task].rows} of rate "
                    f"{baseline[task].rate}). Score both on the same rows in the same split."
                )
    return Comparison(dict(baseline), {name: dict(by_task) for name, by_task in candidates.items()}, baseline_name)


def _same_rows(first: TaskMetrics, second: TaskMetrics) -> bool:
    if first.rows != second.rows or (first.rate is None) != (second.rate is None):
        return False
    rates_agree = first.rate is None or second.rate is None or math.isclose(first.rate, second.rate, rel_tol=1e-9)
    return rates_agree and math.isclose(first.weight, second.weight, rel_tol=1e-9)


def _cells(found: TaskMetrics, gain: str) -> tuple[str, ...]:
    figures = (f"{found.normalized_entropy:.5f}" if found.normalized_entropy is not None else "-", gain)
    others = ["-" if value is None else f"{value:.4f}" for value in (found.auc, found.calibration, found.rate)]
    return (*figures, *others, f"{found.rows:,}")
