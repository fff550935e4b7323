"""Predicted events over observed events."""

from typing import Any

import keras
from keras import ops

from .binary_metric import BinaryMetric


@keras.saving.register_keras_serializable(package="grouprank")
class Calibration(BinaryMetric):
    """Sum of the predictions over sum of the labels; 1.1 means that 10 % more events were predicted than seen.

    Bids are multiplied by predicted rates, so an ads model that ranks well but is off in total charges wrongly. AUC
    does not show it. The sums are compensated, so the result does not depend on how rows were cut into batches.

    - A row whose label is NaN (unobserved) or whose weight is 0 does not count, whatever was predicted for it.
    - Without positives, the mean label is replaced by `keras.config.epsilon()`. The result is then a large number,
      but never infinite.
    - Without any row the result is 0.0, as for Keras' own metrics.

    Source: He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", section 3.

    Args:
        from_logits: whether predictions are logits rather than probabilities. Defaults to `False`.
        name: name of the metric. Defaults to `"calibration"`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`.

    Call arguments:
        y_true: labels in `[0, 1]`, soft ones included, NaN where unobserved; shape `(batch,)`, `(batch, 1)` or any
            other that equals that of `y_pred` up to a last axis of 1.
        y_pred: probabilities, or logits with `from_logits=True`.
        sample_weight: `None`, one weight per row, or of the labels' shape.

    Example:

    >>> metric = Calibration()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.3, 0.6, 0.7, 0.2])
    >>> round(float(metric.result()), 4)
    0.9
    """

    def __init__(
        self, from_logits: bool = False, name: str = "calibration", dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        self._predicted = self.add_sum("predicted")
        self._positives = self.add_sum("positives")
        self._weight = self.add_sum("weight")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of rows."""
        labels, predictions, weights = self.rows(y_true, y_pred, sample_weight)
        probabilities = ops.sigmoid(predictions) if self.from_logits else predictions
        self._predicted.add(ops.sum(ops.multiply(weights, probabilities)))
        self._positives.add(ops.sum(ops.multiply(weights, labels)))
        self._weight.add(ops.sum(weights))

    def result(self) -> Any:
        """Predicted over observed events of all rows since the last reset."""
        weight = self._weight.value()
        mean_prediction = ops.divide_no_nan(self._predicted.value(), weight)
        mean_label = ops.divide_no_nan(self._positives.value(), weight)
        floored = ops.maximum(mean_label, keras.config.epsilon())
        return ops.cast(ops.divide(mean_prediction, floored), self.dtype)
