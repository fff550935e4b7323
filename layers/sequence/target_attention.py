"""Attention of what is ranked to a history."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .dice import Dice
from .sequence_encoder import SequenceEncoder


@keras.saving.register_keras_serializable(package="grouprank")
class TargetAttention(SequenceEncoder):
    """Sums a history with weights that depend on what is ranked.

    An ad touches few of a user's many interests. A small network, the activation
    unit of Deep Interest Network, weighs each position `k` for the target `q` by
    `[q, k, q − k, q ⊙ k]`. The weights are not normalised, as in the paper: a
    history full of what the ad is about sums up to more than one with a trace of it.

    Args:
        units: widths of the activation unit's hidden layers. Defaults to `(36,)`, as
            in the paper.
        activation: their activation, `"dice"` (each layer has a `Dice` of its own) or
            any of Keras. Defaults to `"dice"`.
        normalize: take the softmax of the weights over the positions that count.
            Defaults to `False`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        sequence: vectors of the history.
        target: vector of what is ranked; required.
        mask: boolean `(batch, length)`, `False` where a position does not count;
            `None` if all do. Defaults to `None`.
        training: Dice uses the statistics of the batch, and moves its averages, only if `True`.

    Input shape:
        `(batch, length, dim)`, the target `(batch, dim)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no position counts.

    Raises:
        ValueError: on a width below 1, no target, or one of another width than the sequence.

    Example:

    >>> import numpy as np
    >>> history, ad = np.ones((4, 10, 8), "float32"), np.ones((4, 8), "float32")
    >>> tuple(TargetAttention(units=(16,))(history, target=ad).shape)
    (4, 8)

    Reference:
        Zhou et al., *Deep Interest Network*, [arXiv:1706.06978](https://arxiv.org/abs/1706.06978), eq. 3.
    """

    def __init__(
        self,
        units: Sequence[int] = (36,),
        activation: str | Callable[[Any], Any] | None = "dice",
        *,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        if any(not isinstance(width, int) or width < 1 for width in self.units):
            raise ValueError(f"`units` must hold positive integers. Received: units={units!r}.")
        self.activation = activation if activation == "dice" else keras.activations.get(activation)
        self.normalize = normalize
        self._hidden = [
            keras.layers.Dense(
                width,
                activation=None if activation == "dice" else self.activation,
                dtype=self.dtype_policy,
                name=f"dense_{index}",
            )
            for index, width in enumerate(self.units)
        ]
        self._dices = [
            Dice(dtype=self.dtype_policy, name=f"dice_{index}")
            for index in range(len(self.units) if activation == "dice" else 0)
        ]
        self._weight = keras.layers.Dense(1, dtype=self.dtype_policy, name="weight")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the activation unit."""
        batch, length, dim = input_shape
        if dim is None:
            raise ValueError(f"The last axis of the sequence must be known. Received: input_shape={input_shape}.")
        width = 4 * dim
        for index, hidden in enumerate(self._hidden):
            hidden.build((batch, length, width))
            width = self.units[index]
            if self._dices:
                self._dices[index].build((batch, length, width))
        self._weight.build((batch, length, width))
        self.built = True

    def call(self, sequence: Any, target: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """Sum of the positions, weighted for the target."""
        if target is None or target.shape[-1] != sequence.shape[-1]:
            raise ValueError(
                "`target` must be a tensor of the sequence's width: the vector of what is ranked, for example the ad's "
                f"embedding. Received: target of shape {getattr(target, 'shape', None)}, sequence of shape "
                f"{sequence.shape}."
            )
        sequence, mask = self.counted(sequence, mask)
        weights = ops.squeeze(self._weigh(sequence, target, mask, training), -1)
        if self.normalize:
            # A finite number, so that a row without positions does not become NaN.
            scores = ops.where(mask, ops.cast(weights, "float32"), -1e9)
            weights = ops.cast(ops.softmax(scores, axis=-1), sequence.dtype)
        weights = ops.where(mask, weights, ops.zeros_like(weights))
        return ops.sum(ops.expand_dims(weights, -1) * sequence, axis=1)

    def _weigh(self, sequence: Any, target: Any, mask: Any, training: bool | None) -> Any:
        """The activation unit, `(batch, length, 1)`."""
        query = ops.broadcast_to(ops.expand_dims(target, 1), ops.shape(sequence))
        x = ops.concatenate([query, sequence, query - sequence, query * sequence], axis=-1)
        for index, hidden in enumerate(self._hidden):
            x = hidden(x)
            if self._dices:
                x = self._dices[index](x, training=training, mask=mask)
        return self._weight(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        dice = self.activation == "dice"
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": "dice" if dice else keras.activations.serialize(self.activation),
            "normalize": self.normalize,
        }
