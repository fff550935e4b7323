"""Figures of one task's predictions, in float64 on the host."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-7

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class TaskMetrics:
    """What `task_metrics` found; a figure that the rows do not define is `None`, which JSON can hold.

    Args:
        rows: rows with an observed label and a weight above 0.
        weight: sum of their weights.
        rate: weighted mean label; `None` without rows.
        cross_entropy: weighted mean cross-entropy in nats; `None` without rows.
        normalized_entropy: cross-entropy over the entropy of the rate; `None` if that is 0 (one class only).
        auc: weighted area under the ROC curve, ties counting one half; `None` with one class only.
        calibration: sum of probabilities over sum of labels; `None` without positives.

    Example:

    >>> task_metrics([0, 0], [0.1, 0.2]).to_dict()["auc"] is None
    True
    """

    rows: int
    weight: float
    rate: float | None
    cross_entropy: float | None
    normalized_entropy: float | None
    auc: float | None
    calibration: float | None

    def to_dict(self) -> dict[str, int | float | None]:
        """The figures as plain numbers."""
        return dataclasses.asdict(self)


def task_metrics(labels: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None = None) -> TaskMetrics:
    """Rows, rate, cross-entropy, NE, AUC and calibration of one task.

    The streaming metrics of `grouprank.metrics` are float32 inside the training loop; reports are made of these,
    float64 over all rows at once. NE is that of He et al. 2014, eq. 1; AUC is exact (Mann-Whitney, tied scores
    counting one half), not binned as `keras.metrics.AUC`. Where the Keras metrics clip one-class data to a large
    finite number, a report says `None`.

    Args:
        labels: in `[0, 1]`, soft ones included, NaN where unobserved (such rows do not count); shape `(rows,)` or
            `(rows, 1)`.
        probabilities: in `[0, 1]`, same number of rows; clipped to `[1e-7, 1 - 1e-7]` for the cross-entropy only.
        sample_weight: one weight >= 0 per row, or `None` for 1 each. Defaults to `None`.

    Raises:
        ValueError: on lengths that differ, or a label, probability or weight out of range in a row that counts;
            the message names the first such row.

    Example:

    >>> found = task_metrics([0, 1, 0, 1, float("nan")], [0.1, 0.7, 0.4, 0.4, 0.9])
    >>> found.rows, found.rate, found.auc, round(found.calibration, 3)
    (4, 0.5, 0.875, 0.8)
    >>> task_metrics([0, 0], [0.1, 0.2]).auc is None
    True
    """
    y, p, w = _rows(labels, probabilities, sample_weight)
    total = float(w.sum())
    if total == 0.0:
        return TaskMetrics(len(y), 0.0, None, None, None, None, None)
    positives = float(w @ y)
    negatives = float(w @ (1.0 - y))
    rate = positives / total
    clipped = np.clip(p, EPSILON, 1.0 - EPSILON)
    cross_entropy = float(-(w @ (y * np.log(clipped) + (1.0 - y) * np.log1p(-clipped)))) / total
    both = positives > 0.0 and negatives > 0.0
    entropy = -(rate * np.log(rate) + negatives / total * np.log(negatives / total)) if both else 0.0
    return TaskMetrics(
        rows=len(y),
        weight=total,
        rate=rate,
        cross_entropy=cross_entropy,
        normalized_entropy=float(cross_entropy / entropy) if both else None,
        auc=_auc(y, p, w) if both else None,
        calibration=float(w @ p) / positives if positives > 0.0 else None,
    )


def _rows(
    labels: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Flat float64 arrays of the rows that count."""
    y = np.asarray(labels, dtype=np.float64).reshape(-1)
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1)
    w = np.ones_like(y) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64).reshape(-1)
    if not len(y) == len(p) == len(w):
        raise ValueError(
            "`labels`, `probabilities` and `sample_weight` must have one value per row. "
            f"Received: {len(y)} labels, {len(p)} probabilities and {len(w)} weights."
        )
    _check("sample_weight", w, ~(np.isfinite(w) & (w >= 0.0)), "a finite number >= 0")
    counts = ~np.isnan(y) & (w > 0.0)
    _check("labels", y, counts & ~((y >= 0.0) & (y <= 1.0)), "in [0, 1], or NaN where unobserved")
    _check("probabilities", p, counts & ~((p >= 0.0) & (p <= 1.0)), "in [0, 1]; apply the sigmoid to logits")
    return y[counts], p[counts], w[counts]


def _check(name: str, values: Floats, wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"`{name}` must be {expected}. Received: {values[row]!r} in row {row} ({int(wrong.sum())} such rows)."
        )


def _auc(y: Floats, p: Floats, w: Floats) -> float:
    """Weighted Mann-Whitney: share of (positive, negative) weight pairs in the right order, ties one half."""
    order = np.argsort(p, kind="stable")
    scores, positive, negative = p[order], (w * y)[order], (w * (1.0 - y))[order]
    starts = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    positive = np.add.reduceat(positive, starts)
    negative = np.add.reduceat(negative, starts)
    below = np.cumsum(negative) - negative
    return float(positive @ (below + 0.5 * negative) / (positive.sum() * negative.sum()))
