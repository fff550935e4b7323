"""Columns of a frame of predictions, checked."""

import numpy as np
import polars as pl

from .logit_histogram import EPSILON


class PredictionColumns:
    """Labels, probabilities and weights of a frame, as arrays that are known to be in range.

    Args:
        frame: one column per task, and one column `MODEL:TASK` per prediction.
        weight: column of weights, `None` for 1 each. Defaults to `None`.

    Raises:
        ValueError: on a missing column or a value out of range, with its row.

    Example:

    >>> columns = PredictionColumns(pl.DataFrame({"click": [1.0, None], "ours:click": [0.8, 0.4]}))
    >>> labels, seen = columns.labels("click")
    >>> seen.tolist(), columns.probabilities("ours", "click", seen).tolist()
    ([True, False], [0.8, 0.4])
    """

    def __init__(self, frame: pl.DataFrame, weight: str | None = None) -> None:
        self._frame = frame
        self.weight = np.ones(len(frame)) if weight is None else self._column(weight)
        inside = np.isfinite(self.weight) & (self.weight >= 0)
        _check(weight or "weight", self.weight, inside, "a finite number, not negative")

    def labels(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels, NaN where unobserved, and which rows count: a label is known and the weight above 0."""
        labels = self._column(task)
        seen = ~np.isnan(labels) & (self.weight > 0)
        _check(task, labels, ~seen | ((labels >= 0) & (labels <= 1)), "a label in [0, 1], or NaN where unobserved")
        return labels, seen

    def probabilities(self, model: str, task: str, seen: np.ndarray) -> np.ndarray:
        """A model's predictions, in range in the rows that count."""
        name = f"{model}:{task}"
        values = self._column(name)
        _check(name, values, ~seen | ((values >= 0) & (values <= 1)), "a probability; apply the sigmoid")
        return values

    def _column(self, name: str) -> np.ndarray:
        if name not in self._frame.columns:
            raise ValueError(f"The column {name!r} is missing. Received: {self._frame.columns}.")
        return self._frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of each row, in nats; probabilities of 0 and 1 are clipped.

    Example:

    >>> cross_entropy(np.array([1.0, 0.0]), np.array([0.5, 0.0])).round(4).tolist()
    [0.6931, 0.0]
    """
    clipped = np.clip(probabilities, EPSILON, 1.0 - EPSILON)
    return np.asarray(-(labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped)))


def _check(name: str, values: np.ndarray, inside: np.ndarray, expected: str) -> None:
    if not inside.all():
        row = int(np.argmin(inside))
        raise ValueError(f"Column {name!r}, row {row}: expected {expected}. Received: {values[row]!r}.")
