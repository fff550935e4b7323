"""Outputs that start at the rates of the training rows."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas, world_size
from .residual_learning import ResidualLearning
from .some_batches import some_batches


class RateStart:
    """Sets the biases of a model's outputs so that it predicts the rates of its training rows at first.

    From a bias of 0 a model predicts a half. On a rare outcome it spends its first hundreds of steps on
    nothing but the rate, and a small table has no more steps than that.

    A bias is set only while it is exactly 0, which means that nothing has trained it.

    Args:
        biases: by output, the weight that holds its biases, and the position of the first one.
        learning: residual learning, or `None`.
        max_rows: about how many rows of a loader are looked at. Defaults to `50_000`.
    """

    def __init__(
        self, biases: Mapping[str, tuple[Any, int]], learning: ResidualLearning | None, max_rows: int = 50_000
    ) -> None:
        self._biases, self._learning, self._max_rows = dict(biases), learning, max_rows

    def waits_for(self, task: str) -> bool:
        """Whether nothing has set or trained a task's bias yet."""
        weight, position = self._biases[task]
        return bool(weight.trainable) and float(self._flat(weight)[position]) == 0.0

    def set(self, rates: Mapping[str, float]) -> None:
        """Set the biases of tasks, and of their heads, that nothing has set or trained yet.

        Args:
            rates: rate by task, each strictly between 0 and 1.
        """
        for task, rate in rates.items():
            if not self.waits_for(task):
                continue
            self._set(task, [_logit(rate)])
            if self._learning is not None:
                for kind, values in self._learning.start(rate).items():
                    if f"{task}/{kind}" in self._biases:
                        self._set(f"{task}/{kind}", values)

    def _set(self, output: str, values: Iterable[float]) -> None:
        weight, position = self._biases[output]
        flat = self._flat(weight)
        for offset, value in enumerate(values):
            flat[position + offset] = value
        weight.assign(flat.reshape(weight.shape))

    @staticmethod
    def _flat(weight: Any) -> np.ndarray:
        return np.array(ops.convert_to_numpy(weight), "float32").reshape(-1)

    def rates(self, model: Any, data: Any, y: Any = None, sample_weight: Any = None) -> dict[str, float]:
        """The weighted rate of each task's labels among the rows where they are known.

        All rows of arrays count, and of a loader about `max_rows`, spread over it. A rate of 0 or 1 is moved inside
        by half a row. A task without a known label has no rate. An iterator gives none, since what is read of it is
        lost.

        Args:
            model: the model, which knows the sample spaces of its tasks.
            data: columns, or a loader whose batches hold columns, labels and perhaps weights.
            y: labels, if `data` holds columns.
            sample_weight: weights, likewise.
        """
        tasks = model.schema.task_names
        sums = {task: np.zeros(3) for task in tasks}
        for targets, weight in self._parts(data, y, sample_weight, tasks):
            labels = model.labels(targets)
            for task in tasks:
                of_task = weight.get(task) if isinstance(weight, Mapping) else weight
                sums[task] += _sums(labels[task], of_task)
        found: dict[str, float] = {}
        if world_size() > 1:
            counted = ops.convert_to_numpy(replicas.total(np.stack(list(sums.values()))))
            sums = dict(zip(tasks, counted, strict=True))
        for task, (rows, weights, positives) in sums.items():
            if weights > 0.0:
                found[task] = float(np.clip(positives / weights, 0.5 / rows, 1.0 - 0.5 / rows))
        return found

    def _parts(self, data: Any, y: Any, sample_weight: Any, tasks: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        """Labels and weights, part by part."""
        if y is not None:
            yield y, sample_weight
            return
        if isinstance(data, Mapping) or not hasattr(data, "__iter__") or isinstance(data, Iterator):
            return
        seen = 0
        for batch in some_batches(data, self._max_rows):
            if not isinstance(batch, tuple | list) or len(batch) < 2 or not _has_labels(batch[1], tasks):
                break
            yield batch[1], batch[2] if len(batch) > 2 else None
            first = next(iter(batch[1].values())) if isinstance(batch[1], Mapping) else batch[1]
            seen += len(first)
            if seen >= self._max_rows:
                break
        if isinstance(data, keras.utils.PyDataset) and hasattr(data, "epoch"):
            # A loader that counts epochs takes one for finished once all batches were read. This was no epoch.
            data.epoch = data.epoch


def _has_labels(y: Any, tasks: Sequence[str]) -> bool:
    """Whether a batch can be asked for every task's label; `adapt` takes loaders that cannot."""
    return all(task in y for task in tasks) if isinstance(y, Mapping) else y is not None and len(tasks) == 1


def _sums(label: Any, weight: Any) -> np.ndarray:
    """Rows whose label is known, their weight, and the weight of the positives."""
    values = np.asarray(ops.convert_to_numpy(label), "float64").reshape(-1)
    known = ~np.isnan(values)
    weights = known.astype("float64")
    if weight is not None:
        weights = weights * np.asarray(ops.convert_to_numpy(weight), "float64").reshape(-1)
    return np.array([known.sum(), weights.sum(), weights @ np.where(known, values, 0.0)])


def _logit(rate: float) -> float:
    return math.log(rate) - math.log1p(-rate)
