"""Self-attention after a linear map that the row itself makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, check_rate, known_sizes
from ..mlp import MLP

# As in the other Transformers here. Keras' 1e-3 is ten times the variance that embeddings start with.
EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="grouprank")
class PersonalizedAttention(keras.layers.Layer):
    """Updates tokens by a matrix made of the row's context, then by self-attention.

    The same click means something else for another user, ad or hour. So the feed-forward network of a Transformer is
    replaced by a linear map whose matrix, `dim × dim`, dense layers make of the context `c`. Each step reads normalized
    tokens and is added to them:

        S' = S + layer_norm(S) reshape(mlp(flatten(c)))
        output = S' + attention(layer_norm(S'))

    Args:
        units: widths of the hidden layers that make the matrix. Defaults to `(64,)`.
        num_heads: attention heads, each `dim // num_heads` wide, at least 1. Defaults to `2`.
        dropout: dropout rate of both steps. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"tokens"` and `"context"`, of floating dtype, and `"mask"`, boolean, `False` where no token may
            attend to a token. At least one token of a row must count.
        training: dropout is active only if `True`.

    Input shape:
        `{"tokens": (batch, tokens, dim), "context": (batch, embeddings, dim), "mask": (batch, tokens)}`.

    Output shape:
        `(batch, tokens, dim)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> inputs = {"tokens": np.ones((4, 6, 8), "float32"), "mask": np.ones((4, 6), "bool")}
    >>> tuple(PersonalizedAttention()({**inputs, "context": np.ones((4, 2, 8), "float32")}).shape)
    (4, 6, 8)

    Reference:
        Zeng et al., *InterFormer*, [arXiv:2411.09852](https://arxiv.org/abs/2411.09852): the sequence arch. The
        normalizations and the sums with what was read are those of a Transformer.
    """

    def __init__(self, units: Sequence[int] = (64,), num_heads: int = 2, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads)
        check_rate(dropout=dropout)
        self.units, self.num_heads, self.dropout = tuple(units), num_heads, dropout
        policy = {"dtype": self.dtype_policy}
        self._norms = [
            keras.layers.LayerNormalization(epsilon=EPSILON, name=name, **policy)
            for name in ("map_norm", "attention_norm")
        ]
        self._dropouts = [
            keras.layers.Dropout(dropout, name=name, **policy) for name in ("map_dropout", "attention_dropout")
        ]

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create what makes the matrix, and the attention."""
        shape = input_shape["tokens"]
        _, dim = known_sizes(shape)
        embeddings, width = known_sizes(input_shape["context"])
        self.mlp = MLP(self.units, output_units=dim * dim, dtype=self.dtype_policy, name="mlp")
        self.mlp.build((None, embeddings * width))
        # Without biases: one of the keys would cancel in the softmax.
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads, max(1, dim // self.num_heads), use_bias=False, dtype=self.dtype_policy, name="attention"
        )
        self.attention.build(shape, shape)
        for norm in self._norms:
            norm.build(shape)
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """The new tokens."""
        x, context = inputs["tokens"], inputs["context"]
        length, dim = x.shape[1:]
        made = self.mlp(ops.reshape(context, (-1, context.shape[1] * context.shape[2])), training=training)
        mapped = ops.matmul(self._norms[0](x), ops.reshape(made, (-1, dim, dim)))
        x = x + self._dropouts[0](mapped, training=training)
        readable = ops.repeat(ops.expand_dims(ops.cast(inputs["mask"], "bool"), 1), length, axis=1)
        normed = self._norms[1](x)
        attended = self.attention(normed, normed, attention_mask=readable, training=training)
        return x + self._dropouts[1](attended, training=training)

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape["tokens"])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
