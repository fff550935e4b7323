"""Losses whose targets may be missing."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas


class ObservedLoss(keras.losses.Loss):
    """Base of losses that skip rows whose target is NaN and average over the rest.

    Subclasses implement `row_loss(y_true, y_pred)`, which returns `(loss, observed)`,
    both of shape `(batch,)`. A row that is not observed never enters the sum.

    In several processes of torch the mean is that of all processes' rows, which must all call the loss. Its gradient is
    right once gradients are averaged over the processes (`grouprank.distribution.synchronize`, torch's
    `DistributedDataParallel`).

    Args:
        reduction: `"mean_with_sample_weight"` (the weighted mean over observed rows, `Σ w·l / Σ w`, 0 where there are
            none), `"sum"` or `"none"`. Keras' `"sum_over_batch_size"` and `"mean"` are read as
            `"mean_with_sample_weight"`, since a batch counts its observed rows alone.
            Defaults to `"mean_with_sample_weight"`.
        name: name of the loss.
        dtype: dtype of the computation. Defaults to `float32`.

    Example:

    >>> import numpy as np
    >>> class ObservedSquaredError(ObservedLoss):
    ...     def row_loss(self, y_true, y_pred):
    ...         observed = ops.logical_not(ops.isnan(y_true))
    ...         return ops.square(ops.where(observed, y_true, 0.0) - y_pred), observed
    >>> float(ObservedSquaredError()(np.array([1.0, np.nan]), np.array([0.5, 0.0])))
    0.25
    """

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        if reduction in ("sum_over_batch_size", "mean"):
            reduction = "mean_with_sample_weight"
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def row_loss(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Loss of each row and whether its target is observed, both `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must implement `row_loss`.")

    def check_targets(self, y_true: Any) -> None:
        """Raise on targets that are wrong; by default on targets on the host that lie outside `[0, 1]`."""
        check_targets(type(self).__name__, y_true)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row, 0 where the target is missing."""
        losses, observed = self.row_loss(y_true, y_pred)
        return ops.where(observed, losses, 0.0)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Reduced loss; `sample_weight` has the shape `(batch,)` or `(batch, 1)`."""
        loss = self.of_batch(y_true, y_pred, sample_weight)
        return replicas.scaled(loss) if self.reduction == "mean_with_sample_weight" else loss

    def of_batch(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """As the loss is called, but of the whole batch where replicas of `tf.distribute` share it.

        There Keras divides a mean by the number of replicas, whose gradients it adds up, and calling the loss does so
        too. A model that computes with several losses divides their result.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: weights of the rows. Defaults to `None`.
        """
        self.check_targets(y_true)
        y_true, y_pred = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        losses, observed = self.row_loss(y_true, y_pred)
        weight = ops.cast(observed, losses.dtype)
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, losses.dtype), ops.shape(losses))
        weighted = ops.where(weight > 0, losses, 0.0) * weight
        if self.reduction in (None, "none"):
            return weighted
        if self.reduction == "sum":
            return ops.sum(weighted) * replicas.replica_count()
        return replicas.ratio(ops.sum(weighted), ops.sum(weight))


def check_targets(owner: str, y_true: Any) -> None:
    """Raise if targets on the host lie outside [0, 1]; the values of a traced step's tensors are not known."""
    if isinstance(y_true, np.ndarray | list | tuple):
        values = np.asarray(y_true, "float64")
        wrong = np.argwhere((values < 0) | (values > 1))
        if len(wrong):
            raise ValueError(
                f"{owner}: targets must lie in [0, 1], or be NaN where they are unobserved. "
                f"Received {values[tuple(wrong[0])]:g} in row {wrong[0][0]}; {len(wrong)} of {values.size} are outside."
            )


def binary_crossentropy_from_logits(logits: Any, targets: Any) -> Any:
    """Elementwise `softplus(z) − t·z`, stable for logits of any size."""
    return ops.softplus(logits) - targets * logits
