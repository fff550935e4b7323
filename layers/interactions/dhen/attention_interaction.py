"""A Transformer encoder layer over the embeddings of a row."""

from typing import Any

import keras

from ...mlp import MLP
from .linear_interaction import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class AttentionInteraction(keras.layers.Layer):
    """Lets embeddings attend to each other: one Transformer encoder layer.

    `a = LayerNorm(x + attention(x))`, `LayerNorm(a + feed_forward(a))`, and its
    outputs combined to the wanted number. The attention has no biases, its heads are `dim / num_heads` wide, the
    feed-forward layer `4 dim`, as in the Transformer.

    Args:
        num_embeddings: number of embeddings of the output.
        num_heads: number of attention heads. Defaults to `2`.
        dropout: dropout rate of the attention weights and of both residual
            branches. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: embeddings below each other, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Example:

    >>> import numpy as np
    >>> tuple(AttentionInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Vaswani et al., *Attention is all you need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
    """

    def __init__(self, num_embeddings: int, num_heads: int = 2, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.num_heads = num_heads
        self.dropout = dropout
        self.combine = LinearInteraction(num_embeddings, dtype=self.dtype_policy, name="combine")
        self.norms = [
            keras.layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy, name=name)
            for name in ("attention_norm", "feed_forward_norm")
        ]
        self._dropouts = [
            keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=name)
            for name in ("attention_dropout", "feed_forward_dropout")
        ]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create attention and feed-forward layer."""
        dim = input_shape[-1]
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads,
            max(1, dim // self.num_heads),
            dropout=self.dropout,
            # A bias of the keys would cancel in the softmax, and the normalization after the attention has one.
            use_bias=False,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention.build(input_shape, input_shape)
        self.feed_forward = MLP((4 * dim,), output_units=dim, dtype=self.dtype_policy, name="feed_forward")
        self.feed_forward.build(input_shape)
        for norm in self.norms:
            norm.build(input_shape)
        self.combine.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Combinations of the embeddings after attention."""
        attended = self.attention(inputs, inputs, training=training)
        x = self.norms[0](inputs + self._dropouts[0](attended, training=training))
        fed = self.feed_forward(x, training=training)
        return self.combine(self.norms[1](x + self._dropouts[1](fed, training=training)))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
