"""Conversions that are labelled a while after the click, and once more if they come later."""

from typing import Any

import keras
from keras import ops

from .delayed_loss import DelayedLoss
from .observed_loss import binary_crossentropy_from_logits


@keras.saving.register_keras_serializable(package="grouprank")
class ElapsedTimeLoss(DelayedLoss):
    """Cross entropy of elapsed-time samples, weighted so that late conversions do no harm (ES-DFM).

    A click is labelled a fixed time after it, with 1 if it has converted by then. If it converts later, it comes again
    with a label of 1. Such a stream is fresh, but a late conversion was a negative first. Two predictions say how
    much: `p_dp`, the probability that a click converts late, and `p_rn`, the probability that a click labelled 0 is a
    real negative. Positives weigh `1 + p_dp`, and negatives `(1 + p_dp)·p_rn`, which makes the expected loss that of
    clicks whose outcome is known. No gradient passes through the weights.

    Both predictions are learned by cross entropies of their own, from clicks that are old enough for all their
    conversions to have come. They may be outputs of the same model, which serving leaves out.
    `elapsed_time_samples` makes samples and labels of times.

    Args:
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss. Defaults to `"elapsed_time_loss"`.
        dtype: dtype of the computation. Defaults to `float32`.

    Call arguments:
        y_true: label of the sample; whether the click converts late; whether a sample labelled 0 is a real negative.
            Each is NaN where it is unknown or does not apply, and then adds nothing. A row with none does not count.
        y_pred: the three logits, of the conversion, of `p_dp` and of `p_rn`.
        sample_weight: non-negative weights of the rows, or `None`.

    Input shape:
        `(batch, 3)`, both arguments.

    Output shape:
        Scalar, or `(batch,)` without reduction.

    Raises:
        ValueError: on arguments that are not three columns wide, or labels on the host outside `[0, 1]`.

    Example:

    >>> import numpy as np
    >>> y_true = np.array([[1.0, np.nan, np.nan], [0.0, np.nan, np.nan]])
    >>> y_pred = np.zeros((2, 3))  # a positive weighs 1.5, a negative 0.75
    >>> round(float(ElapsedTimeLoss()(y_true, y_pred)), 4)
    0.7798

    Reference:
        Yang et al., *Capturing Delayed Feedback in Conversion Rate Prediction via Elapsed-Time Sampling*,
        [arXiv:2012.03245](https://arxiv.org/abs/2012.03245).
    """

    targets = ("label", "late conversion", "real negative")
    predictions = ("logit", "logit of a late conversion", "logit of a real negative")
    refuted = (0.0, 0.0, 1.0)

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str | None = "elapsed_time_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def of_columns(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Loss of each row, and whether any of its labels is known."""
        known = ops.logical_not(ops.isnan(y_true))
        labels = ops.where(known, y_true, 0.0)
        losses = ops.where(known, binary_crossentropy_from_logits(y_pred, labels), 0.0)
        probabilities = ops.sigmoid(ops.stop_gradient(y_pred))
        label, late, real = labels[:, 0], probabilities[:, 1], probabilities[:, 2]
        weight = (1.0 + late) * (label + (1.0 - label) * real)
        return weight * losses[:, 0] + losses[:, 1] + losses[:, 2], ops.any(known, axis=-1)
