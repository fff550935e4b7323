"""A study's two models on the test rows: gains with their intervals, and what makes them doubtful."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import polars as pl
from rich.table import Table

from .. import reports
from ..datasets import PreparedTable
from ..models import CTRModel
from ..reports.markdown import markdown_table
from ..schema import Categorical, Schema
from .choose_batch_size import LEAST_STEPS

HEADER = ("task", "model", "NE", "NE gain", "95 % interval", "AUC", "calibration", "positives", "rows")
_USER = "unit"
_LEAST_USERS = 100


@dataclasses.dataclass(frozen=True)
class StudyComparison:
    """A baseline and a candidate on the test rows. Made by `compare_models`.

    Args:
        comparison: figures of both models by task.
        gains: the candidate's relative NE gains with their intervals.
        sums: the predictions, added up.
        unit: what the intervals take as independent: the column of the users, or "row".
        steps: training steps of each model; `None` where they are not known.
    """

    comparison: reports.Comparison
    gains: reports.GainTable
    sums: reports.PredictionSums
    unit: str
    steps: Mapping[str, int | None]

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells as text, in the order of `HEADER`."""
        cells: list[tuple[str, ...]] = []
        baseline = self.comparison.baseline_name
        for task in self.comparison.baseline:
            for name, by_task in self._figures.items():
                found = by_task[task]
                # Labels of one class have no NE, and a gain without an NE would mean nothing.
                compared = name != baseline and found.normalized_entropy is not None
                cells.append(
                    (
                        task,
                        name,
                        _text(found.normalized_entropy, ".5f"),
                        _percent(self.comparison.gain(name, task)) if compared else "",
                        self._interval(name, task) if compared else "",
                        _text(found.auc, ".4f"),
                        _text(found.calibration, ".4f"),
                        f"{round((found.rate or 0.0) * found.weight):,}",
                        f"{found.rows:,}",
                    )
                )
        return cells

    @property
    def _figures(self) -> dict[str, Mapping[str, reports.TaskMetrics]]:
        return {self.comparison.baseline_name: self.comparison.baseline, **self.comparison.candidates}

    def _interval(self, model: str, task: str) -> str:
        gain = self.gains.of(model, task).gain
        return "-" if gain is None else f"{_percent(gain.low)} to {_percent(gain.high)}"

    def notes(self) -> list[str]:
        """What a reader of the gains must know."""
        units = "rows" if self.unit == "row" else f"users ({self.unit})"
        return [
            f"The intervals are of the {units} in the test set. They do not hold the noise of the seed: one seed makes "
            "no claim that a model is better. Train with several seeds before you believe a gain."
        ]

    def warnings(self) -> list[str]:
        """Reasons to doubt the figures, one or two sentences each."""
        found = [
            f"The {name} was trained for {steps} steps only; below {LEAST_STEPS} a model has hardly begun to learn. "
            "Use more rows, a smaller --batch-size, or more --epochs with a larger --patience."
            for name, steps in self.steps.items()
            if steps is not None and steps < LEAST_STEPS
        ]
        for name, by_task in self._figures.items():
            worse = [
                f"{task} ({figures.normalized_entropy:.4f})"
                for task, figures in by_task.items()
                if figures.normalized_entropy is not None and figures.normalized_entropy > 1.0
            ]
            if worse:
                found.append(
                    f"The {name}'s NE is above 1 on {', '.join(worse)}, so it predicts these test rows worse than "
                    "their mean rate does. The task may have too few positives, or the test rows another rate than the "
                    "training rows."
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return {
            **self.comparison.to_dict(),
            "gains": self.gains.to_dict(),
            "unit": self.unit,
            "steps": dict(self.steps),
            "warnings": self.warnings(),
        }

    def to_markdown(self) -> str:
        """The table as Markdown, then the notes and the warnings."""
        lines = [*self.notes(), *(f"Warning: {text}" for text in self.warnings())]
        return markdown_table(HEADER, self.rows(), text_columns=(0, 1)) + "\n\n" + "\n\n".join(lines) + "\n"

    def to_table(self, title: str) -> Table:
        """The table for a terminal."""
        table = Table(title=title)
        for number, column in enumerate(HEADER):
            table.add_column(column, justify="left" if number < 2 else "right")
        previous = None
        for task, *row in self.rows():
            if previous not in (None, task):
                table.add_section()
            table.add_row(task if previous != task else "", *row)
            previous = task
        return table


def compare_models(table: PreparedTable, models: Mapping[str, CTRModel]) -> StudyComparison:
    """Compare models on a table's test rows.

    Args:
        table: the prepared table.
        models: models by name, the baseline first.
    """
    baseline, *candidates = models
    columns = {task: np.asarray(table.column("test", task), "float32") for task in table.schema.task_names}
    labels = {
        name: keras.ops.convert_to_numpy(label).reshape(-1) for name, label in models[baseline].labels(columns).items()
    }
    unit, units = _units(table)
    frame: dict[str, Any] = {_USER: units, **labels}
    figures = {}
    for name, model in models.items():
        probabilities = model.predict_proba(table.batches("test", 8192))
        figures[name] = {task: reports.task_metrics(label, probabilities[task]) for task, label in labels.items()}
        frame |= {f"{name}:{task}": probabilities[task] for task in labels}
    sums = reports.PredictionSums(list(labels), list(models), user=_USER)
    sums.update(pl.DataFrame(frame))
    comparison = reports.compare(figures[baseline], {name: figures[name] for name in candidates}, baseline)
    steps = {name: _steps(model) for name, model in models.items()}
    return StudyComparison(comparison, reports.gain_table(sums), sums, unit, steps)


def _units(table: PreparedTable) -> tuple[str, np.ndarray]:
    """What to take as independent: the users, where a column tells them apart, or else the rows."""
    rows = np.arange(table.rows("test"))
    column = _user_column(table.schema)
    if column is None:
        return "row", rows
    ids = np.asarray(table.column("test", column), "int64")
    if len(np.unique(ids)) < _LEAST_USERS:
        return "row", rows
    # Id 0 stands for all users that training did not know, which are many.
    return column, np.where(ids == 0, -1 - rows, ids)


def _user_column(schema: Schema) -> str | None:
    """The user's side's categorical feature with the largest vocabulary."""
    ids = [feature for feature in schema.on_side("user") if isinstance(feature, Categorical)]
    return max(ids, key=lambda feature: feature.vocabulary_size).name if ids else None


def _steps(model: CTRModel) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f} %"
