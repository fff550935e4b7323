"""Residual learning: positives and negatives each fit the label minus the pseudo-label."""

import math
import warnings
from typing import Any

import keras
from keras import ops

from .observed_loss import ObservedLoss, binary_crossentropy_from_logits

READINGS = ("magnitude", "signed", "affine", "offset", "literal")


@keras.saving.register_keras_serializable(package="grouprank")
class ResidualLabelLoss(ObservedLoss):
    """Fits the residual between the label and a pseudo-label with a head per class.

    Added to the main loss of a ranking model, it makes the shared representation
    explain where the teacher errs: head `f0` is trained on negatives, whose
    residual is `0 − p`, and head `f1` on positives, whose residual is `1 − p`
    (eq. 7). The pseudo-label `p` is always under `stop_gradient`.

    As printed, the negative term of eq. 7 has no minimum: `CE(z, −p) =
    softplus(z) + p·z` falls without bound as `z → −∞`. Hence the readings:

    - `"magnitude"`: `CE(f0, p)` on negatives, `CE(f1, 1 − p)` on positives. The
      group carries the sign; `f1`'s term is exactly the paper's.
    - `"signed"`: `(tanh(f0) + p)²` and `(tanh(f1) − (1 − p))²`.
    - `"affine"`: cross entropy against `(1 + residual) / 2`.
    - `"offset"`: `CE(logit(p) + f0 + f1, y)` on all rows: boosting on the
      teacher's logit. The heads form one correction, since a head that saw one
      class alone would again have no minimum.
    - `"literal"`: eq. 7 as printed on logits bounded to ±`logit_bound`. It is for
      study only and warns.

    Args:
        reading: one of the above. Defaults to `"magnitude"`.
        logit_bound: bound of the logits in `"literal"`. Defaults to `10.0`.
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss. Defaults to `"residual_label_loss"`.
        dtype: dtype of the computation. Defaults to `float32`.

    Call arguments:
        y_true: label and pseudo-label side by side, both in `[0, 1]`; a row with
            a NaN in either does not count.
        y_pred: logits `f0` and `f1` side by side.
        sample_weight: non-negative weights of the rows, or `None`.

    Input shape:
        `(batch, 2)`, both arguments.

    Output shape:
        Scalar, or `(batch,)` without reduction.

    Raises:
        ValueError: on an unknown reading, arguments that are not two columns
            wide, or host targets outside `[0, 1]`. Inside a compiled step, where
            values cannot be read, such a target makes the loss NaN.

    Example:

    >>> import numpy as np
    >>> y_true = np.array([[0.0, 0.25], [1.0, 0.75]])  # label, pseudo-label
    >>> y_pred = np.zeros((2, 2))  # logits f0, f1
    >>> round(float(ResidualLabelLoss()(y_true, y_pred)), 4)
    0.6931

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, eq. 7.
    """

    def __init__(
        self,
        reading: str = "magnitude",
        logit_bound: float = 10.0,
        reduction: str = "mean_with_sample_weight",
        name: str | None = "residual_label_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        if reading not in READINGS:
            raise ValueError(f"`reading` must be one of {READINGS}. Received: reading={reading!r}.")
        if reading == "literal":
            warnings.warn(
                "Eq. 7 as printed has no minimum on negatives, so that its logits run to the bound "
                f"of ±{logit_bound:g}. Use reading='magnitude' to train a model.",
                stacklevel=2,
            )
        self.reading = reading
        self.logit_bound = logit_bound

    def row_loss(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Residual loss of each row and whether label and pseudo-label are observed."""
        for argument, value in (("y_true (label, pseudo-label)", y_true), ("y_pred (logits f0, f1)", y_pred)):
            if len(value.shape) != 2 or value.shape[-1] != 2:
                raise ValueError(f"ResidualLabelLoss expects {argument} of shape (batch, 2). Received: {value.shape}.")
        y_true = ops.stop_gradient(y_true)
        observed = ops.logical_not(ops.any(ops.isnan(y_true), axis=-1))
        y_true = ops.where(ops.expand_dims(observed, -1), y_true, 0.0)
        label, pseudo = y_true[:, 0], y_true[:, 1]
        f0, f1 = y_pred[:, 0], y_pred[:, 1]
        losses = self._loss(label, pseudo, f0, f1)
        inside = ops.all(ops.logical_and(y_true >= 0.0, y_true <= 1.0), axis=-1)
        return ops.where(inside, losses, float("nan")), observed

    def _loss(self, label: Any, pseudo: Any, f0: Any, f1: Any) -> Any:
        if self.reading == "offset":
            epsilon = keras.config.epsilon()
            pseudo = ops.clip(pseudo, epsilon, 1.0 - epsilon)
            teacher_logit = ops.log(pseudo) - ops.log1p(-pseudo)
            return binary_crossentropy_from_logits(teacher_logit + f0 + f1, label)
        residual0, residual1 = -pseudo, 1.0 - pseudo
        if self.reading == "magnitude":
            loss0 = binary_crossentropy_from_logits(f0, -residual0)
            loss1 = binary_crossentropy_from_logits(f1, residual1)
        elif self.reading == "signed":
            loss0 = ops.square(ops.tanh(f0) - residual0)
            loss1 = ops.square(ops.tanh(f1) - residual1)
        elif self.reading == "affine":
            loss0 = binary_crossentropy_from_logits(f0, 0.5 * (1.0 + residual0))
            loss1 = binary_crossentropy_from_logits(f1, 0.5 * (1.0 + residual1))
        else:
            f0, f1 = (self.logit_bound * ops.tanh(f / self.logit_bound) for f in (f0, f1))
            loss0 = binary_crossentropy_from_logits(f0, residual0)
            loss1 = binary_crossentropy_from_logits(f1, residual1)
        return (1.0 - label) * loss0 + label * loss1

    def best_constants(self, pseudo_label: float) -> tuple[float, float]:
        """The logits `f0` and `f1` with the least loss if all rows have one pseudo-label.

        Those of `"offset"` are 0, the teacher's own answer, and so are those of `"literal"`, which has no least loss.

        Args:
            pseudo_label: strictly between 0 and 1.

        Example:

        >>> ResidualLabelLoss().best_constants(0.5)
        (0.0, 0.0)
        """
        p = pseudo_label
        if self.reading == "magnitude":
            return _logit(p), _logit(1.0 - p)
        if self.reading == "signed":
            return math.atanh(-p), math.atanh(1.0 - p)
        if self.reading == "affine":
            return _logit(0.5 * (1.0 - p)), _logit(0.5 * (2.0 - p))
        return 0.0, 0.0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "reading": self.reading, "logit_bound": self.logit_bound}


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)
