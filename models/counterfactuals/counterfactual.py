"""The base of what debiases a rate that is learned among clicks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from ...distribution import replicas
from ...layers import MLP
from ...losses.observed_loss import binary_crossentropy_from_logits


@dataclasses.dataclass(frozen=True)
class Impressions:
    """The rows of a batch as a counterfactual loss reads them, each `(batch,)` and float32.

    Args:
        clicked: 1 where the conversion is observed, since all that it is given came true, and its label is known.
        passed: 1 where something that it is given did not come true. Both are 0 where that is unknown.
        error: cross entropy of the conversion where `clicked`, 0 elsewhere.
        logit: of the conversion, everywhere.
        propensity: probability that all it is given comes true. No gradient passes through it.
        head: what the head gives, or `None`.
        weight: weight of the row, 0 where neither `clicked` nor `passed`.
    """

    clicked: Any
    passed: Any
    error: Any
    logit: Any
    propensity: Any
    head: Any
    weight: Any

    def mean(self, values: Any, factors: Any = 1.0) -> Any:
        """The weighted mean of a column over the rows of which it is known whether they were clicked.

        Args:
            values: the column.
            factors: of the rows' weights. Defaults to `1.0`.
        """
        weight = self.weight * factors
        return replicas.ratio(ops.sum(weight * values), ops.sum(weight))


class Counterfactual:
    """Base class of the regularizers that debias a conversion's rate, which is observed among clicks alone.

    Clicks are no random sample of the impressions. What is clicked depends on the user and the ad as the conversion
    does, so that a rate fitted to clicks is wrong elsewhere. These regularizers weigh what is observed by the
    propensity, the model's own probability of the click, and steer the training of a `CVRModel`. They need every
    impression in the training rows.

    For `Task("purchase", given="cart")` with `Task("cart", given="click")`, "clicked" means that all came true that
    the task is given, and the propensity is the probability of the whole path, of click and cart together. A row
    counts if one of these is known not to have come true, or if all came true and the task's label is known.

    To write your own, subclass this, implement `of_rows`, set `head` if it needs a head of its own, and register the
    class with Keras.

    Args:
        weight: factor of the regularizer in each conversion's loss. Defaults to `0.1`.
        min_propensity: propensities below it are taken for it, so that no row weighs more than its inverse. Defaults
            to `0.01`.

    Raises:
        ValueError: on a negative weight, or a `min_propensity` outside `(0, 1]`.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class AmongClicks(Counterfactual):
    ...     def of_rows(self, rows):
    ...         return rows.mean(rows.error)
    >>> AmongClicks(weight=0.5).get_config()
    {'weight': 0.5, 'min_propensity': 0.01}
    """

    head: ClassVar[str | None] = None
    """What the head is called, which predicts one number a row in training, or `None` for none."""

    def __init__(self, weight: float = 0.1, min_propensity: float = 0.01) -> None:
        if not weight >= 0:
            raise ValueError(f"`weight` must not be negative. Received: weight={weight!r}.")
        if not 0.0 < min_propensity <= 1.0:
            raise ValueError(f"`min_propensity` must lie in (0, 1]. Received: min_propensity={min_propensity!r}.")
        self.weight = weight
        self.min_propensity = min_propensity

    def of_rows(self, rows: Impressions) -> Any:
        """The regularizer's value for a batch, a scalar without its factor."""
        raise NotImplementedError(f"{type(self).__name__} must implement `of_rows`.")

    def loss(self, clicked: Any, label: Any, logit: Any, output: Any, sample_weight: Any = None) -> Any:
        """The regularizer's value for a batch, without its factor.

        Args:
            clicked: whether all came true that the conversion is given, NaN where unknown, `(batch,)`.
            label: label of the conversion, NaN where it is unknown or outside of its sample space, `(batch,)`.
            logit: logit of the conversion, `(batch, 1)`.
            output: what `make_head` gives, `(batch, 1)` or `(batch, 2)`.
            sample_weight: weights of the rows, or `None`. Defaults to `None`.
        """
        clicked, label, logit = (ops.reshape(ops.cast(values, "float32"), (-1,)) for values in (clicked, label, logit))
        output = ops.cast(output, "float32")
        observed = ops.logical_and(clicked == 1.0, ops.logical_not(ops.isnan(label)))
        error = binary_crossentropy_from_logits(logit, ops.where(observed, label, 0.0))
        inside, outside = ops.cast(observed, "float32"), ops.cast(clicked == 0.0, "float32")
        weight = inside + outside
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        return self.of_rows(
            Impressions(
                clicked=inside,
                passed=outside,
                error=inside * error,
                logit=logit,
                propensity=ops.sigmoid(ops.stop_gradient(output[:, 0])),
                head=output[:, 1] if self.head is not None else None,
                weight=weight,
            )
        )

    def inverse(self, propensity: Any) -> Any:
        """`1 / propensity`, where a propensity below `min_propensity` is taken for it."""
        return 1.0 / ops.maximum(propensity, self.min_propensity)

    def make_head(
        self, task: str, representation: Any, path_logit: Any, units: Sequence[int], dropout: float
    ) -> Mapping[str, Any]:
        """The output `task/counterfactual` that training alone has: the logit of the path, and what the head gives.

        Args:
            task: name of the conversion.
            representation: symbolic `(batch, width)`, what the task's tower reads.
            path_logit: symbolic `(batch, 1)`, logit that all comes true that the task is given.
            units: widths of the head's hidden layers, those of the towers.
            dropout: dropout rate of the head.
        """
        output = path_logit
        if self.head is not None:
            tower = MLP(units, dropout=dropout, output_units=1, name=f"{task}_{self.head}")
            # Float32 under every dtype policy, as the logits of the tasks are.
            join = keras.layers.Concatenate(dtype="float32", name=f"{task}_counterfactual")
            output = join([path_logit, tower(representation)])
        return {f"{task}/counterfactual": output}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"weight": self.weight, "min_propensity": self.min_propensity}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Counterfactual":
        """Inverse of `get_config`."""
        return cls(**config)
