"""Binary cross entropy with missing labels."""

from typing import Any

import keras
from keras import ops

from .observed_loss import ObservedLoss, binary_crossentropy_from_logits


@keras.saving.register_keras_serializable(package="grouprank")
class ObservedBinaryCrossentropy(ObservedLoss):
    """Binary cross entropy from logits, averaged over the rows whose label is known.

    Multi-task logs have tasks that are not observed on every row. A row whose label
    is NaN does not count in this task's mean.

    Args:
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss. Defaults to `"observed_binary_crossentropy"`.
        dtype: dtype of the computation. Defaults to `float32`.

    Call arguments:
        y_true: labels in `[0, 1]`, NaN where missing.
        y_pred: logits.
        sample_weight: non-negative weights of the rows, or `None`.

    Input shape:
        `(batch,)` or `(batch, 1)`, both arguments.

    Output shape:
        Scalar, or `(batch,)` without reduction.

    Raises:
        ValueError: if labels on the host lie outside `[0, 1]`.

    Example:

    >>> import numpy as np
    >>> loss = ObservedBinaryCrossentropy()
    >>> round(float(loss(np.array([1.0, np.nan, 0.0]), np.zeros(3))), 4)
    0.6931

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, eq. 4 and 5.
    """

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str | None = "observed_binary_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def row_loss(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Cross entropy of each row and whether its label is observed."""
        labels, logits = ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1,))
        observed = ops.logical_not(ops.isnan(labels))
        labels = ops.where(observed, labels, 0.0)
        return binary_crossentropy_from_logits(logits, labels), observed
