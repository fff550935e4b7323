"""The base of losses of conversions that come late."""

from typing import Any, ClassVar

from .observed_loss import ObservedLoss


class DelayedLoss(ObservedLoss):
    """Base of losses whose target is what is known of a conversion that may still come.

    The target has several columns, and so has the prediction: the logit of the conversion, and what the loss needs
    beside it in training. `CTRModel(delayed_feedback=...)` trains a task with such a loss.

    A subclass names its columns and implements `of_columns(y_true, y_pred)`, which returns what `row_loss` does.

    Args:
        reduction: see `ObservedLoss`. Defaults to `"mean_with_sample_weight"`.
        name: name of the loss.
        dtype: dtype of the computation. Defaults to `float32`.

    Example:

    See `DelayedFeedbackLoss` and `ElapsedTimeLoss`.
    """

    targets: ClassVar[tuple[str, ...]] = ()
    """What the columns of `y_true` are."""

    predictions: ClassVar[tuple[str, ...]] = ()
    """What the columns of `y_pred` are; the first one is the logit of the conversion."""

    refuted: ClassVar[tuple[float, ...]] = ()
    """The target of a row of which it is certain that no conversion comes."""

    def of_columns(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Loss of each row and whether it counts, both `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must implement `of_columns`.")

    def row_loss(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """See `of_columns`; raises if the columns are not those that the loss names."""
        for argument, value, columns in (("y_true", y_true, self.targets), ("y_pred", y_pred, self.predictions)):
            if len(value.shape) != 2 or value.shape[-1] != len(columns):
                raise ValueError(
                    f"{type(self).__name__} expects {argument} ({', '.join(columns)}) of shape "
                    f"(batch, {len(columns)}). Received: {value.shape}."
                )
        return self.of_columns(y_true, y_pred)
