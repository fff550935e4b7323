"""Adagrad on touched rows."""

from typing import Any

import keras
from keras import ops

from .row_optimizer import RowOptimizer


@keras.saving.register_keras_serializable(package="grouprank", name="EmbeddingAdagrad")
class Adagrad(RowOptimizer):
    """A step that shrinks per component as squared gradients add up.

    `a += g²`, `row −= learning_rate · g / √(a + epsilon)`, as in
    `keras.optimizers.Adagrad`. Rare ids keep large steps, frequent ones settle:
    the usual choice for id embeddings, with one slot as large as the table.

    Args:
        learning_rate: number or schedule. Defaults to `0.01`.
        initial_accumulator_value: start of `a`. Defaults to `0.1`.
        epsilon: added under the root. Defaults to `1e-7`.
        **kwargs: `weight_decay`, `clipnorm` and `clipvalue`, see `RowOptimizer`.

    Example:

    >>> Adagrad(0.05).slots(dim=8)
    {'accumulator': (8, 0.1)}

    Reference:
        [Duchi et al., 2011](http://www.jmlr.org/papers/v12/duchi11a.html).
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        if initial_accumulator_value < 0:
            raise ValueError(
                "`initial_accumulator_value` must not be negative. "
                f"Received: initial_accumulator_value={initial_accumulator_value}."
            )
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def slots(self, dim: int) -> dict[str, tuple[int, float]]:
        """A sum of squares per component."""
        return {"accumulator": (dim, self.initial_accumulator_value)}

    def step(
        self, rows: Any, gradient: Any, slots: dict[str, Any], learning_rate: Any, iteration: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See `RowOptimizer.step`."""
        accumulator = slots["accumulator"] + self._squared(gradient)
        return rows - learning_rate * gradient * ops.rsqrt(accumulator + self.epsilon), {"accumulator": accumulator}

    def _squared(self, gradient: Any) -> Any:
        return ops.square(gradient)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
