"""What a model loses when its tables are kept in fewer bits."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

# Largest loss of normalized entropy that an export accepts by itself.
LIMITS = {"int8": 1e-4, "int4": 3e-4}


@dataclasses.dataclass(frozen=True)
class TaskCost:
    """A task's figures before and after, each as a pair.

    Args:
        loss: relative rise of the normalized entropy.
        normalized_entropy: cross entropy over the entropy of the mean label.
        auc: area under the ROC curve.
        calibration: mean prediction over mean label.
    """

    loss: float
    normalized_entropy: tuple[float, float]
    auc: tuple[float, float]
    calibration: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class QuantizationCost:
    """How the scores of a version with quantized tables differ from the model's.

    Where the rows have no labels, the model's probabilities stand for them. The figures are then what to expect if
    the model is calibrated, and they need fewer rows, since labels bring their noise.

    Args:
        table_dtype: how the version keeps the rows of its tables.
        max_difference: largest difference of a probability.
        mean_difference: mean of the absolute differences.
        regrouped: share of the rows that fall into another group of some placement.
        labelled: whether the rows have labels.
        tasks: figures by task.

    Example:

    >>> before = {"click": np.array([0.1, 0.3, 0.2])}
    >>> cost = QuantizationCost.of("int8", before, {"click": np.array([0.1, 0.3, 0.21])}, {}, 0.0)
    >>> round(cost.mean_difference, 4), round(cost.worst, 6)
    (0.0033, 0.000212)
    """

    table_dtype: str
    max_difference: float
    mean_difference: float
    regrouped: float
    labelled: bool
    tasks: dict[str, TaskCost]

    @classmethod
    def of(
        cls,
        table_dtype: str,
        before: Mapping[str, np.ndarray],
        after: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        regrouped: float,
    ) -> Self:
        """Compare probabilities by task.

        Args:
            table_dtype: see the class.
            before: of the model.
            after: of the version, of the same rows.
            labels: labels of some of the tasks, NaN where they are unknown.
            regrouped: see the class.
        """
        differences = np.concatenate([np.abs(after[task] - before[task]) for task in before])
        return cls(
            table_dtype,
            float(differences.max()),
            float(differences.mean()),
            regrouped,
            bool(labels),
            {task: _cost(before[task], after[task], labels.get(task, before[task])) for task in before},
        )

    @property
    def worst(self) -> float:
        """The largest loss of a task."""
        return max(task.loss for task in self.tasks.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, strings and numbers."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        by = "labels" if self.labelled else "the model's probabilities as labels"
        lines = [
            f"{self.table_dtype} tables change a probability by {self.mean_difference:.1e} on average and by "
            f"{self.max_difference:.1e} at most; {self.regrouped:.2%} of the rows fall into other groups. By {by}:"
        ]
        for task, cost in self.tasks.items():
            pairs = {"NE": cost.normalized_entropy, "AUC": cost.auc, "calibration": cost.calibration}
            figures = ", ".join(f"{name} {old:.5f} -> {new:.5f}" for name, (old, new) in pairs.items())
            lines.append(f"  {task}: {figures} (NE {cost.loss:+.4%})")
        return "\n".join(lines)


def _cost(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> TaskCost:
    known = np.isfinite(labels)
    label, old, new = (np.asarray(values, "float64")[known] for values in (labels, before, after))
    rate = float(label.mean()) if len(label) else np.nan
    entropies = [_cross_entropy(label, values) for values in (old, new)]
    whole = _cross_entropy(np.array([rate]), np.array([rate]))
    return TaskCost(
        float(entropies[1] / entropies[0] - 1.0),
        (entropies[0] / whole, entropies[1] / whole),
        (_auc(label, old), _auc(label, new)),
        (float(old.mean() / rate), float(new.mean() / rate)),
    )


def _cross_entropy(label: np.ndarray, probability: np.ndarray) -> float:
    clipped = np.clip(probability, 1e-7, 1.0 - 1e-7)
    return float(-np.mean(label * np.log(clipped) + (1.0 - label) * np.log1p(-clipped)))


def _auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; a label between 0 and 1 counts as that part of a positive row."""
    _, place = np.unique(score, return_inverse=True)
    positives, negatives = np.bincount(place, label), np.bincount(place, 1.0 - label)
    below = np.cumsum(negatives) - negatives / 2.0
    pairs = positives.sum() * negatives.sum()
    return float((positives * below).sum() / pairs) if pairs else float("nan")
