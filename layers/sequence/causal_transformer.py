"""Self-attention over a history."""

from typing import Any

import keras
from keras import ops

from ..check_arguments import check_rate
from .sequence_encoder import SequenceEncoder

# As in the paper's code. Keras' 1e-3 is ten times the variance that embeddings start with.
EPSILON = 1e-8


@keras.saving.register_keras_serializable(package="grouprank")
class CausalTransformer(SequenceEncoder):
    """Reads a history in order and stands for it by its newest position.

    This is the encoder of SASRec. Use it where the order of events tells something,
    as in a session that narrows down. Each position gets a learned vector for its
    place, counted back from the newest, and attends to itself and what came
    before it. A block is self-attention and a point-wise feed-forward network of
    two layers, each as `x + dropout(g(layer_norm(x)))`.

    It differs from the paper in two ways. Keras' attention ends with a linear layer,
    and positions count from the newest one that counts, so that padding may stand
    at either end. Positions that do not count are never attended to.

    Args:
        num_blocks: number of blocks. Defaults to `2`.
        num_heads: number of attention heads; must divide the vectors' width. Defaults
            to `1`, as in the paper.
        dropout: dropout rate. Defaults to `0.0`.
        max_length: number of learned places; older positions share the last one. `None`
            takes the length of the sequences. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        sequence: vectors of the history, oldest first, newest last.
        target: ignored.
        mask: boolean `(batch, length)`, `False` where a position does not count;
            `None` if all do. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, length, dim)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no position counts.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, a width that
            `num_heads` does not divide, or an unknown length without `max_length`.

    Example:

    >>> import numpy as np
    >>> history = np.ones((4, 10, 8), "float32")
    >>> tuple(CausalTransformer(num_blocks=1)(history).shape)
    (4, 8)

    Reference:
        Kang and McAuley, *SASRec*, [arXiv:1808.09781](https://arxiv.org/abs/1808.09781), §III.
    """

    reads_target = False

    def __init__(
        self,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout: float = 0.0,
        *,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for argument, value in (("num_blocks", num_blocks), ("num_heads", num_heads), ("max_length", max_length)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"`{argument}` must be a positive integer. Received: {argument}={value!r}.")
        check_rate(dropout=dropout)
        self.num_blocks = num_blocks
        self.num_heads = num_heads
        self.dropout = dropout
        self.max_length = max_length
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create places and blocks."""
        _, length, dim = input_shape
        places = self.max_length or length
        if places is None:
            raise ValueError(
                "The length of the sequences must be known, or `max_length` given. "
                f"Received: input_shape={input_shape}, max_length=None."
            )
        if dim is None or dim % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the vectors' width. Received: num_heads={self.num_heads}, width={dim}."
            )
        self._places = keras.layers.Embedding(places, dim, dtype=self.dtype_policy, name="places")
        self._places.build(input_shape[:-1])
        self._blocks = [
            _Block(dim, self.num_heads, self.dropout, dtype=self.dtype_policy, name=f"block_{index}")
            for index in range(self.num_blocks)
        ]
        for block in self._blocks:
            block.build(input_shape)
        self.built = True

    def call(self, sequence: Any, target: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """Representation at the newest position that counts."""
        states = self.encode_positions(sequence, mask, training)
        _, mask = self.counted(sequence, mask)
        return self.newest(states, mask)

    def encode_positions(self, sequence: Any, mask: Any = None, training: bool | None = None) -> Any:
        """Representation at every position, `(batch, length, dim)`. Rows in which no position counts have no meaning.

        Args:
            sequence: as in a call.
            mask: as in a call. Defaults to `None`.
            training: as in a call. Defaults to `None`.
        """
        sequence, mask = self.counted(ops.convert_to_tensor(sequence), mask)
        places = ops.minimum(self.newer(mask), self._places.input_dim - 1)
        x = self._dropout(sequence + self._places(places), training=training)
        # Padding attends to itself: what attends to nothing is NaN on some backends.
        index = ops.arange(ops.shape(sequence)[1])
        itself = ops.equal(ops.expand_dims(index, 0), ops.expand_dims(index, 1))
        attended = ops.logical_or(ops.expand_dims(mask, 1), itself)
        for block in self._blocks:
            x = block(x, attended, training=training)
        return x

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "max_length": self.max_length,
        }


class _Block(keras.layers.Layer):
    """Causal self-attention and a point-wise feed-forward network, each with a residual connection."""

    def __init__(self, dim: int, num_heads: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        layers = keras.layers
        self._attention_norm = layers.LayerNormalization(epsilon=EPSILON, name="attention_norm", **policy)
        self._attention = layers.MultiHeadAttention(
            num_heads, dim // num_heads, use_bias=False, name="attention", **policy
        )
        self._feed_forward_norm = layers.LayerNormalization(epsilon=EPSILON, name="feed_forward_norm", **policy)
        self._hidden = layers.Dense(dim, activation="relu", name="hidden", **policy)
        self._output = layers.Dense(dim, name="output", **policy)
        self._attention_dropout = layers.Dropout(dropout, name="attention_dropout", **policy)
        self._feed_forward_dropout = layers.Dropout(dropout, name="feed_forward_dropout", **policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._attention.build(input_shape, input_shape)
        for layer in (self._attention_norm, self._feed_forward_norm, self._hidden, self._output):
            layer.build(input_shape)
        self.built = True

    def call(self, x: Any, attended: Any, training: bool | None = None) -> Any:
        normed = self._attention_norm(x)
        attention = self._attention(normed, normed, attention_mask=attended, use_causal_mask=True, training=training)
        x = x + self._attention_dropout(attention, training=training)
        hidden = self._output(self._hidden(self._feed_forward_norm(x)))
        return x + self._feed_forward_dropout(hidden, training=training)
