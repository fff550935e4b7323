"""A penalty on outcomes that are predicted more often than what they follow."""

from typing import Any

import keras
from keras import ops

from .observed_loss import ObservedLoss


@keras.saving.register_keras_serializable(package="grouprank")
class OrderedProbabilityLoss(ObservedLoss):
    """How far a later outcome's probability exceeds the earlier one's.

    An outcome that only follows another (a purchase after a click) cannot be more
    probable. `max(sigmoid(child) − sigmoid(parent), 0)` is 0 where the predictions agree with
    that; elsewhere it pulls both towards each other. AITM calls it the
    behavioural expectation calibrator; add it with a small factor to the tasks'
    losses. It needs no label and counts every row.

    Args:
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss. Defaults to `"ordered_probability_loss"`.
        dtype: dtype of the computation. Defaults to `float32`.

    Call arguments:
        y_true: has no effect and may be `None`.
        y_pred: logits of the parent outcome and of the child, side by side.
        sample_weight: non-negative weights of the rows, or `None`.

    Input shape:
        `(batch, 2)` for `y_pred`.

    Output shape:
        Scalar, or `(batch,)` without reduction.

    Raises:
        ValueError: on logits that are not two columns wide.

    Example:

    >>> import numpy as np
    >>> logits = np.array([[0.0, 2.0], [0.0, -2.0]])  # parent, child
    >>> round(float(OrderedProbabilityLoss()(None, logits)), 4)
    0.1904

    Reference:
        Xi et al., [arXiv:2105.08489](https://arxiv.org/abs/2105.08489).
    """

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str | None = "ordered_probability_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def of_batch(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """See `ObservedLoss.of_batch`."""
        # The loss does not use labels, so it does not matter whether they are missing or NaN.
        y_pred = ops.convert_to_tensor(y_pred)
        return super().of_batch(ops.zeros_like(y_pred), y_pred, sample_weight)

    def row_loss(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Excess of the child's probability in each row; every row counts."""
        if len(y_pred.shape) != 2 or y_pred.shape[-1] != 2:
            raise ValueError(
                "OrderedProbabilityLoss expects y_pred (logits of parent, child) of shape (batch, 2). "
                f"Received: {y_pred.shape}."
            )
        probabilities = ops.sigmoid(y_pred)
        excess = ops.relu(probabilities[:, 1] - probabilities[:, 0])
        return excess, ops.ones_like(excess, dtype="bool")
