"""Cross-entropy relative to always predicting the mean label."""

from typing import Any

import keras
from keras import ops

from .binary_metric import BinaryMetric


@keras.saving.register_keras_serializable(package="grouprank")
class NormalizedEntropy(BinaryMetric):
    """Normalized entropy (NE): the mean cross-entropy over the entropy of the mean label.

    1 is what predicting the same rate for every row gets; lower is better. Unlike a log loss it can be compared
    between tasks and days of different rates, so it is the usual headline of an ads ranking model.

    With weights `w`, labels `y` in `[0, 1]` and predictions `p` over **all** rows seen since the last reset,

        NE = [sum w CE(p, y) / sum w] / H(sum w y / sum w),   H(r) = -r log r - (1 - r) log(1 - r)

    It is computed from three compensated sums, so it does not depend on how the rows were cut into batches (a mean
    of batch NEs would), and a hundred million rows are added without loss.

    - A row whose label is NaN (unobserved) or whose weight is 0 does not count, whatever was predicted for it. Any
      other prediction that is NaN makes the result NaN: a diverged model is not hidden.
    - With one class only, the mean label is clipped to `[epsilon, 1 - epsilon]` with `keras.config.epsilon()`. The
      result is then a large number, but never NaN.
    - Without any row the result is 0.0, as for Keras' own metrics.

    Source: He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", eq. 1.

    Args:
        from_logits: whether predictions are logits rather than probabilities. Probabilities are clipped to
            `[epsilon, 1 - epsilon]`, logits are not. Defaults to `False`.
        name: name of the metric. Defaults to `"normalized_entropy"`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`.

    Call arguments:
        y_true: labels in `[0, 1]`, soft ones included, NaN where unobserved; shape `(batch,)`, `(batch, 1)` or any
            other that equals that of `y_pred` up to a last axis of 1.
        y_pred: probabilities, or logits with `from_logits=True`.
        sample_weight: `None`, one weight per row, or of the labels' shape.

    Example:

    >>> metric = NormalizedEntropy()
    >>> metric.update_state([0.0, 1.0], [0.2, 0.8])
    >>> metric.update_state([0.0, float("nan")], [0.1, 0.9])
    >>> round(float(metric.result()), 4)
    0.2889
    """

    def __init__(
        self, from_logits: bool = False, name: str = "normalized_entropy", dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        self._cross_entropy = self.add_sum("cross_entropy")
        self._positives = self.add_sum("positives")
        self._weight = self.add_sum("weight")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of rows."""
        labels, predictions, weights = self.rows(y_true, y_pred, sample_weight)
        self._cross_entropy.add(ops.sum(ops.multiply(weights, self._row_cross_entropy(labels, predictions))))
        self._positives.add(ops.sum(ops.multiply(weights, labels)))
        self._weight.add(ops.sum(weights))

    def _row_cross_entropy(self, labels: Any, predictions: Any) -> Any:
        if self.from_logits:
            # max(z, 0) - z y + log(1 + exp(-|z|)): no exponential of a positive number, so no overflow.
            return ops.relu(predictions) - predictions * labels + ops.log1p(ops.exp(-ops.abs(predictions)))
        epsilon = keras.config.epsilon()
        predictions = ops.clip(predictions, epsilon, 1.0 - epsilon)
        return -(labels * ops.log(predictions) + (1.0 - labels) * ops.log1p(-predictions))

    def result(self) -> Any:
        """The normalized entropy of all rows since the last reset."""
        weight = self._weight.value()
        mean_label = ops.divide_no_nan(self._positives.value(), weight)
        mean_negative = ops.divide_no_nan(self._weight.minus(self._positives), weight)
        epsilon = keras.config.epsilon()
        mean_label = ops.clip(mean_label, epsilon, 1.0 - epsilon)
        mean_negative = ops.clip(mean_negative, epsilon, 1.0 - epsilon)
        entropy = -(mean_label * ops.log(mean_label) + mean_negative * ops.log(mean_negative))
        mean_cross_entropy = ops.divide_no_nan(self._cross_entropy.value(), weight)
        return ops.cast(ops.divide(mean_cross_entropy, entropy), self.dtype)
