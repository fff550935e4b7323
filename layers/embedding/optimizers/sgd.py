"""Plain gradient descent on touched rows."""

from typing import Any

import keras

from .row_optimizer import RowOptimizer


@keras.saving.register_keras_serializable(package="grouprank", name="EmbeddingSGD")
class SGD(RowOptimizer):
    """`row −= learning_rate · gradient`: no slots, the least memory.

    Args:
        learning_rate: number or schedule. Defaults to `0.01`.
        **kwargs: `weight_decay`, `clipnorm` and `clipvalue`, see `RowOptimizer`.

    Example:

    >>> SGD(0.1).slots(dim=8)
    {}
    """

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)

    def slots(self, dim: int) -> dict[str, tuple[int, float]]:
        """None."""
        return {}

    def step(
        self, rows: Any, gradient: Any, slots: dict[str, Any], learning_rate: Any, iteration: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See `RowOptimizer.step`."""
        return rows - learning_rate * gradient, slots
