"""Adam on touched rows."""

import math
from typing import Any

import keras
from keras import ops

from .row_optimizer import RowOptimizer


@keras.saving.register_keras_serializable(package="grouprank", name="EmbeddingAdam")
class Adam(RowOptimizer):
    """Lazy Adam: the moments of a row move when a batch touches it.

    The formula of `keras.optimizers.Adam` on touched rows, its bias correction by
    the number of steps of the table. In a table whose rows are all touched by every
    batch it is Keras' Adam; elsewhere rows without a gradient stand still, where
    Keras would let them drift on old momentum. Two slots as large as the table.

    Args:
        learning_rate: number or schedule. Defaults to `0.001`.
        beta_1: decay of the first moment. Defaults to `0.9`.
        beta_2: decay of the second moment. Defaults to `0.999`.
        epsilon: added to the root. Defaults to `1e-7`.
        **kwargs: `weight_decay`, `clipnorm` and `clipvalue`, see `RowOptimizer`.

    Example:

    >>> sorted(Adam().slots(dim=8))
    ['momentum', 'velocity']

    Reference:
        [Kingma and Ba, 2014](https://arxiv.org/abs/1412.6980).
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        for argument, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise ValueError(f"`{argument}` must lie in [0, 1). Received: {argument}={value}.")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slots(self, dim: int) -> dict[str, tuple[int, float]]:
        """First and second moment per component."""
        return {"momentum": (dim, 0.0), "velocity": (dim, 0.0)}

    def step(
        self, rows: Any, gradient: Any, slots: dict[str, Any], learning_rate: Any, iteration: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See `RowOptimizer.step`."""
        momentum = slots["momentum"] + (1.0 - self.beta_1) * (gradient - slots["momentum"])
        velocity = slots["velocity"] + (1.0 - self.beta_2) * (ops.square(gradient) - slots["velocity"])
        bias = ops.sqrt(_one_minus_power(self.beta_2, iteration)) / _one_minus_power(self.beta_1, iteration)
        rows = rows - learning_rate * bias * momentum / (ops.sqrt(velocity) + self.epsilon)
        return rows, {"momentum": momentum, "velocity": velocity}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


def _one_minus_power(beta: float, iteration: Any) -> Any:
    """`1 − betaᵗ`; subtracting in float32 loses four of seven digits in the first steps."""
    return -ops.expm1(iteration * (math.log(beta) if beta else -math.inf))
