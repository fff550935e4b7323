"""Conversions of which some have not come yet, and the delay of those that have."""

from typing import Any

import keras
import numpy as np
from keras import ops

from .delayed_loss import DelayedLoss


@keras.saving.register_keras_serializable(package="grouprank")
class DelayedFeedbackLoss(DelayedLoss):
    """Likelihood of conversions that are observed while some of them are still to come.

    A click of an hour ago that has not converted is no negative yet. The loss models two things of each click:
    whether it converts at all, with probability `p = sigmoid(logit)`, and how long that takes, an exponential time of
    rate `λ = exp(log_rate)`. A click that converted after a delay `d` costs `−log p − log λ + λ·d`. One that has not
    converted in an elapsed time `e` costs `−log(1 − p + p·exp(−λ·e))`: either it never will, or not yet. So a model
    can learn from the newest clicks without predicting too little.

    Give a model a second output for `log λ` in training. It has no use in serving: leave it out of the saved model.
    Delays need not be exponential for the probabilities to be good, but of the right length.

    The cost of a conversion is a log density and may be negative. Its value depends on the unit of time. Take a unit
    near a usual delay, such as days, so that `log λ` starts near 0.

    Args:
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss. Defaults to `"delayed_feedback_loss"`.
        dtype: dtype of the computation. Defaults to `float32`.

    Call arguments:
        y_true: delay and elapsed time side by side, as `conversion_delays` makes them of times. The delay is the time
            from the click to the conversion, NaN if there was none yet. The elapsed time is that from the click to
            the observation, NaN where the click is to be left out. An infinite one says that no conversion can come
            any more.
        y_pred: logit of the conversion and `log λ`, side by side.
        sample_weight: non-negative weights of the rows, or `None`.

    Input shape:
        `(batch, 2)`, both arguments.

    Output shape:
        Scalar, or `(batch,)` without reduction.

    Raises:
        ValueError: on arguments that are not two columns wide, or times on the host that are negative.

    Example:

    >>> import numpy as np
    >>> y_true = np.array([[0.5, 2.0], [np.nan, 2.0]])  # converted after half a day; not converted in two days
    >>> y_pred = np.zeros((2, 2))  # half of the clicks convert, after a day in the mean
    >>> round(float(DelayedFeedbackLoss()(y_true, y_pred)), 4)
    0.8797

    Reference:
        Chapelle, *Modeling Delayed Feedback in Display Advertising*, KDD 2014.
    """

    targets = ("delay", "elapsed time")
    predictions = ("logit", "log rate")
    refuted = (float("nan"), float("inf"))

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str | None = "delayed_feedback_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def check_targets(self, y_true: Any) -> None:
        """Raise on times on the host that are negative."""
        if isinstance(y_true, np.ndarray | list | tuple):
            wrong = np.argwhere(np.asarray(y_true, "float64") < 0)
            if len(wrong):
                raise ValueError(
                    "DelayedFeedbackLoss: delays and elapsed times must not be negative. Received "
                    f"{np.asarray(y_true)[tuple(wrong[0])]:g} in row {wrong[0][0]}."
                )

    def of_columns(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Negative log likelihood of each row, and whether it counts."""
        delay, elapsed = y_true[:, 0], y_true[:, 1]
        logit, log_rate = y_pred[:, 0], y_pred[:, 1]
        converted, observed = ops.logical_not(ops.isnan(delay)), ops.logical_not(ops.isnan(elapsed))
        open_ = ops.logical_and(observed, ops.logical_not(ops.isinf(elapsed)))
        rate = ops.exp(log_rate)
        of_converted = ops.softplus(-logit) - log_rate + rate * ops.where(converted, delay, 0.0)
        # 1 − p + p·exp(−λe) = (1 + exp(z − λe)) / (1 + exp(z)), which is exact for logits of any size. What is not
        # taken must be finite, or its gradient of 0 would become NaN.
        still_to_come = ops.softplus(logit - rate * ops.where(open_, elapsed, 0.0))
        of_others = ops.softplus(logit) - ops.where(open_, still_to_come, 0.0)
        return ops.where(converted, of_converted, of_others), observed
