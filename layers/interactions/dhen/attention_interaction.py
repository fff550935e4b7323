"""A Transformer encoder layer over the embeddings of a row."""

from typing import Any

import keras

from ...check_arguments import check_positive, check_rate, known_sizes
from ...mlp import MLP
from .embedding_interaction import EmbeddingInteraction
from .linear_interaction import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class AttentionInteraction(EmbeddingInteraction):
    """Lets embeddings attend to each other: one Transformer encoder layer.

    Use it where the interaction of two fields depends on the other fields of the row. With `x` the inputs, it computes
    `a = LayerNorm(x + attention(x))` and `LayerNorm(a + feed_forward(a))`. A `LinearInteraction` combines the result
    to the wanted number of embeddings. As in the Transformer, a head is `dim / num_heads` wide, and the feed-forward
    layer `4 dim`. The attention has no biases.

    Args:
        num_embeddings: number of embeddings of the output.
        num_heads: number of attention heads. Defaults to `2`.
        dropout: dropout rate of the attention weights and of both residual branches. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(AttentionInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Vaswani et al., *Attention is all you need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
    """

    def __init__(self, num_embeddings: int, num_heads: int = 2, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(num_embeddings, **kwargs)
        check_positive(num_heads=num_heads)
        check_rate(dropout=dropout)
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

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create attention and feed-forward layer."""
        _, dim = known_sizes(input_shape)
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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
