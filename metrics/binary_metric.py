"""The base of `NormalizedEntropy` and `Calibration`, which keep compensated sums over rows."""

from collections.abc import Iterable
from typing import Any, Self

import keras
from keras import ops

from .compensated_sum import CompensatedSum


class BinaryMetric(keras.metrics.Metric):
    """Base of the metrics of one binary task that are a function of sums over rows.

    Such a metric is the same however the rows were cut into batches or spread over workers. A subclass creates
    its sums with `add_sum`, adds to them in `update_state` from `rows()`, and computes `result` from them.

    Args:
        from_logits: whether predictions are logits rather than probabilities. Defaults to `False`.
        name: name of the metric. `None` makes one from the class name. Defaults to `None`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`. Sums are kept in float32
            (float64 if `dtype` is), also under a half-precision `dtype`.
    """

    def __init__(
        self, from_logits: bool = False, name: str | None = None, dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.from_logits = bool(from_logits)
        self.sum_dtype = "float64" if self.dtype == "float64" else "float32"
        self._sums: dict[str, CompensatedSum] = {}

    def add_sum(self, name: str) -> CompensatedSum:
        """Create a running sum."""
        self._sums[name] = CompensatedSum(self, name, dtype=self.sum_dtype)
        return self._sums[name]

    def rows(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Any, Any, Any]:
        """Labels, predictions and weights of one shape; rows that do not count have weight 0 and finite values.

        A row does not count where its label is NaN (unobserved) or its weight is 0, whatever was predicted for it.
        """
        labels = ops.convert_to_tensor(y_true, dtype=self.sum_dtype)
        predictions = ops.convert_to_tensor(y_pred, dtype=self.sum_dtype)
        labels, predictions = self._same_shape(labels, predictions)
        if sample_weight is None:
            weights = ops.ones_like(labels)
        else:
            weights = ops.convert_to_tensor(sample_weight, dtype=self.sum_dtype)
            weights = self._weights_like(labels, weights)
        counts = ops.logical_and(ops.logical_not(ops.isnan(labels)), ops.not_equal(weights, 0.0))
        labels = ops.where(counts, labels, 0.0)
        predictions = ops.where(counts, predictions, 0.0 if self.from_logits else 0.5)
        return labels, predictions, ops.where(counts, weights, 0.0)

    def _same_shape(self, labels: Any, predictions: Any) -> tuple[Any, Any]:
        difference = len(predictions.shape) - len(labels.shape)
        if difference == 1 and predictions.shape[-1] == 1:
            predictions = ops.squeeze(predictions, axis=-1)
        elif difference == -1 and labels.shape[-1] == 1:
            labels = ops.squeeze(labels, axis=-1)
        if not _agree(labels.shape, predictions.shape):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: labels and predictions must have the same shape, up to a last "
                f"axis of 1. Received: y_true of shape {tuple(labels.shape)} and y_pred of shape "
                f"{tuple(predictions.shape)}. Reshape one of them, or give each task a metric of its own."
            )
        return labels, predictions

    def _weights_like(self, labels: Any, weights: Any) -> Any:
        if len(weights.shape) == len(labels.shape) + 1 and weights.shape[-1] == 1:
            weights = ops.squeeze(weights, axis=-1)
        while 0 < len(weights.shape) < len(labels.shape):
            weights = ops.expand_dims(weights, axis=-1)
        ranks_agree = len(weights.shape) in (0, len(labels.shape))
        if not ranks_agree or not all(
            w in (1, None, n) or n is None for w, n in zip(weights.shape, labels.shape, strict=False)
        ):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `sample_weight` must be a number, one weight per row, or of the "
                f"labels' shape. Received: sample_weight of shape {tuple(weights.shape)} for labels of shape "
                f"{tuple(labels.shape)}."
            )
        return ops.broadcast_to(weights, ops.shape(labels))

    def merge_state(self, metrics: Iterable["BinaryMetric"]) -> Self:
        """Add what other metrics have seen (other workers, other files) to this one.

        Args:
            metrics: metrics of the same class; they are left as they are.

        Raises:
            ValueError: on a metric of another class.
        """
        for other in metrics:
            if type(other) is not type(self):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} can only merge metrics of its own class. "
                    f"Received: {other!r} of type {type(other).__name__}."
                )
            for name, running in self._sums.items():
                running.merge(other._sums[name])
        return self

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "from_logits": self.from_logits}


def _agree(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        a == b or a is None or b is None for a, b in zip(first, second, strict=True)
    )
