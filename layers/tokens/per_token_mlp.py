"""A feed-forward network of its own for each token."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, check_rate, known_sizes
from ..stacked_initializer import stacked_initializer


@keras.saving.register_keras_serializable(package="grouprank")
class PerTokenMLP(keras.layers.Layer):
    """Two dense layers for each token, with weights that tokens do not share.

    A Transformer applies one feed-forward network to every token. Where tokens are fields of different kinds, those
    with many rows to learn from would drown the others. Here token `t` has its own weights:

        f(xₜ) = activation(xₜ Wₜ + bₜ) W'ₜ + b'ₜ

    Args:
        hidden_units: width of the hidden layer.
        activation: its activation. Defaults to `"gelu"`.
        dropout: dropout rate of the hidden layer. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the tokens, of floating dtype.
        first: the place among all tokens of the first token given, for a call with some of them. Defaults to `0`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, tokens, width)`.

    Output shape:
        `(batch, tokens, width)`.

    Raises:
        ValueError: on a width below 1, a dropout rate outside `[0, 1)`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(PerTokenMLP(16)(np.ones((4, 3, 8), "float32")).shape)
    (4, 3, 8)

    Reference:
        Zhu et al., *RankMixer*, [arXiv:2507.15551](https://arxiv.org/abs/2507.15551), section 3.3.2.
    """

    def __init__(
        self,
        hidden_units: int,
        activation: str | Callable[[Any], Any] | None = "gelu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(hidden_units=hidden_units)
        check_rate(dropout=dropout)
        self.hidden_units = hidden_units
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights of all tokens."""
        tokens, width = known_sizes(input_shape)
        for name, shape in (("hidden", (width, self.hidden_units)), ("output", (self.hidden_units, width))):
            draw = stacked_initializer(keras.initializers.GlorotUniform())
            kernel = self.add_weight(name=f"{name}_kernel", shape=(tokens, *shape), initializer=draw)
            bias = self.add_weight(name=f"{name}_bias", shape=(tokens, shape[1]), initializer="zeros")
            setattr(self, f"_{name}", (kernel, bias))
        self.built = True

    def call(self, inputs: Any, first: int = 0, training: bool | None = None) -> Any:
        """Apply to each token its network."""
        of = slice(first, first + inputs.shape[1])

        def dense(x: Any, weights: tuple[Any, Any]) -> Any:
            kernel, bias = weights
            return ops.einsum("bti,tio->bto", x, kernel[of]) + bias[of]

        hidden = self._dropout(self.activation(dense(inputs, self._hidden)), training=training)
        return dense(hidden, self._output)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
