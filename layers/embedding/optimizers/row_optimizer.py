"""The base of the optimizers of fused tables."""

import abc
from collections.abc import Callable
from typing import Any

import keras
from keras import ops


class RowOptimizer(abc.ABC):
    """Base of optimizers that update the rows of a table which a batch touched.

    A fused table hands over each touched row once, with the gradients of its
    repeats summed. Rows that a batch does not touch keep their value and their
    slots: no moment decays and no weight decays without a gradient.

    A subclass names its slots and implements `step`; both are pure functions of
    float32 tensors of `keras.ops`, so that one formula serves all backends.

    Args:
        learning_rate: a number or a `keras.optimizers.schedules.LearningRateSchedule`,
            called with the number of earlier steps.
        weight_decay: decoupled decay, `row −= learning_rate · weight_decay · row`
            before the step, as in `keras.optimizers.AdamW`. Defaults to `None`.
        clipnorm: largest L2 norm of the table's gradient, all touched rows taken
            together (what Keras' `clipnorm` is for one variable). Defaults to `None`.
        clipvalue: largest absolute value of a component. Defaults to `None`.

    Raises:
        ValueError: on a negative number, or both `clipnorm` and `clipvalue`.

    Example:

    >>> from grouprank.layers import embedding_optimizers
    >>> embedding_optimizers.get("adagrad").slots(dim=8)
    {'accumulator': (8, 0.1)}
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
    ) -> None:
        if isinstance(learning_rate, dict):
            learning_rate = keras.saving.deserialize_keras_object(learning_rate)
        scheduled = isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        if not scheduled and (isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float)):
            raise ValueError(
                "`learning_rate` must be a number or a keras.optimizers.schedules.LearningRateSchedule. "
                f"Received: learning_rate={learning_rate!r}."
            )
        named = {"weight_decay": weight_decay, "clipnorm": clipnorm, "clipvalue": clipvalue}
        if not scheduled:
            named["learning_rate"] = learning_rate
        for argument, value in named.items():
            if value is not None and value < 0:
                raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}.")
        if clipnorm is not None and clipvalue is not None:
            raise ValueError(
                f"Set at most one of `clipnorm` and `clipvalue`. Received: clipnorm={clipnorm}, clipvalue={clipvalue}."
            )
        # A schedule is called, a number is not: see `scheduled`.
        self.learning_rate: Any = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate is a schedule."""
        return isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule)

    @abc.abstractmethod
    def slots(self, dim: int) -> dict[str, tuple[int, float]]:
        """Numbers kept per row: slot name to its width and initial value."""

    @abc.abstractmethod
    def step(
        self, rows: Any, gradient: Any, slots: dict[str, Any], learning_rate: Any, iteration: Any
    ) -> tuple[Any, dict[str, Any]]:
        """New rows and slots; `rows` and `gradient` are `(touched, dim)`, `iteration` counts from 1."""

    def update(
        self,
        rows: Any,
        gradient: Any,
        slots: dict[str, Any],
        learning_rate: Any,
        iteration: Any,
        total: Callable[[Any], Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Clip, decay, step; `total` sums a number over the devices that keep rows of the table, `None` if one does."""
        if self.clipvalue is not None:
            gradient = ops.clip(gradient, -self.clipvalue, self.clipvalue)
        if self.clipnorm is not None:
            squared = ops.sum(ops.square(gradient))
            norm = ops.sqrt(squared if total is None else total(squared))
            gradient = gradient * (self.clipnorm / ops.maximum(norm, self.clipnorm))
        if self.weight_decay:
            rows = rows - learning_rate * self.weight_decay * rows
        return self.step(rows, gradient, slots, learning_rate, iteration)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        rate = keras.saving.serialize_keras_object(self.learning_rate) if self.scheduled else self.learning_rate
        return {
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RowOptimizer":
        """Inverse of `get_config`."""
        return cls(**config)
