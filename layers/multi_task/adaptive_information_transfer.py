"""Attention between what a task knows and what its predecessor hands on."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_rate
from ..mlp import MLP


@keras.saving.register_keras_serializable(package="grouprank")
class AdaptiveInformationTransfer(keras.layers.Layer):
    """Mixes a task's own representation with what comes from the task before it.

    `AITM` puts this layer between two tasks. `p = g(z of the parent)` and the
    task's own `q` are each scored by the scaled product of their own key and
    query, and the softmax of the two scores mixes their values.

    Args:
        activation: activation of `g`. Defaults to `"relu"`.
        dropout: dropout rate after `g`. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: a list of two tensors, the representation of the parent task and the
            task's own.
        training: dropout is active only if `True`.

    Input shape:
        A list of two shapes `(batch, width)`.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: on a dropout rate outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> parent, own = np.ones((2, 4, 8), "float32")
    >>> tuple(AdaptiveInformationTransfer()([parent, own]).shape)
    (4, 8)

    Reference:
        Xi et al., [arXiv:2105.08489](https://arxiv.org/abs/2105.08489).
    """

    def __init__(
        self, activation: str | Callable[[Any], Any] | None = "relu", dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_rate(dropout=dropout)
        self.activation = keras.activations.get(activation)
        self.dropout = dropout

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Create the transfer and the attention, as wide as the representations."""
        width = input_shape[0][-1]
        if width is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        self._width = width
        self.transfer = MLP(
            (width,), activation=self.activation, dropout=self.dropout, dtype=self.dtype_policy, name="transfer"
        )
        self.value, self.key, self.query = (
            keras.layers.Dense(width, use_bias=False, dtype=self.dtype_policy, name=name)
            for name in ("value", "key", "query")
        )
        self.transfer.build((None, width))
        for dense in (self.value, self.key, self.query):
            dense.build((None, 2, width))
        self.built = True

    def call(self, inputs: list[Any], training: bool | None = None) -> Any:
        """Attention over what the parent hands on and what the task itself knows."""
        parent, own = inputs
        candidates = ops.stack([self.transfer(parent, training=training), own], axis=1)
        scores = ops.sum(self.key(candidates) * self.query(candidates), axis=-1, keepdims=True)
        shares = ops.softmax(scores / math.sqrt(self._width), axis=1)
        return ops.sum(shares * self.value(candidates), axis=1)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
