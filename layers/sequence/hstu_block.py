"""A block of pointwise aggregated attention."""

from typing import Any

import keras
from keras import ops

# As in the paper's code. Keras' 1e-3 is ten times the variance that embeddings start with.
EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="grouprank")
class HSTUBlock(keras.layers.Layer):
    """Pointwise attention of some positions to others, with a gate and a residual connection.

    `HSTU` says what it computes. The caller says which position may attend to which, and how far apart they are, so
    that positions of a history may be read before others that attend to them.

    Args:
        dim: width of the states.
        num_heads: number of attention heads; must divide `dim`.
        length: what the sums are divided by.
        distances: number of distances with biases of their own; longer ones share the last.
        dropout: dropout rate of the output. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        x: states, `(batch, positions, dim)`.
        distance: how far each position that is updated stands from each that it reads, integers `(updated, read)`, or
            with a batch.
        allowed: whether it may read it, boolean of the same shape with a batch.
        start: the first position that is updated; of those before it, keys and values alone are needed. Defaults to
            `0`.
        memory: keys and values of positions before these, which are read first. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, positions, dim)`.

    Returns:
        New states of the positions that are updated, and keys and values of all positions given.

    Example:

    >>> import numpy as np
    >>> x, distance = np.ones((4, 3, 8), "float32"), np.arange(3)[:, None] - np.arange(3)
    >>> block = HSTUBlock(dim=8, num_heads=2, length=3, distances=3)
    >>> block.build((None, 3, 8))
    >>> tuple(block(x, distance=distance, allowed=distance[None] >= 0)[0].shape)
    (4, 3, 8)

    Reference:
        Zhai et al., *Actions Speak Louder than Words*, [arXiv:2402.17152](https://arxiv.org/abs/2402.17152), eq. 1 to
        3.
    """

    def __init__(
        self, dim: int, num_heads: int, length: int, distances: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dim, self.dropout = dim, dropout
        policy = {"dtype": self.dtype_policy}
        layers = keras.layers
        self._num_heads, self._length, self._distances = num_heads, length, distances
        self._input_norm = layers.LayerNormalization(epsilon=EPSILON, name="input_norm", **policy)
        self._projections = layers.Dense(4 * dim, "silu", use_bias=False, name="projections", **policy)
        self._attention_norm = layers.LayerNormalization(epsilon=EPSILON, name="attention_norm", **policy)
        self._output = layers.Dense(dim, name="output", **policy)
        self._dropout = layers.Dropout(dropout, name="dropout", **policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the projections and the biases of distances."""
        for layer in (self._input_norm, self._projections, self._attention_norm, self._output):
            layer.build(input_shape)
        self.biases = self.add_weight(name="biases", shape=(self._distances, self._num_heads), initializer="zeros")
        self.built = True

    def call(
        self,
        x: Any,
        distance: Any,
        allowed: Any,
        memory: tuple[Any, Any] | None = None,
        start: int = 0,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any]:
        """New states, keys and values."""
        dim = x.shape[-1]
        u, *projected = ops.split(self._projections(self._input_norm(x)), 4, axis=-1)
        heads = (-1, x.shape[1], self._num_heads, dim // self._num_heads)
        values, queries, keys = (ops.reshape(each, heads) for each in projected)
        x, u, queries = x[:, start:], u[:, start:], queries[:, start:]
        if not x.shape[1]:
            return x, keys, values
        read = (keys, values)
        if memory is not None:
            read = tuple(ops.concatenate(pair, axis=1) for pair in zip(memory, read, strict=True))
        biases = ops.take(self.biases, ops.minimum(ops.maximum(distance, 0), self._distances - 1), axis=0)
        scores = ops.einsum("bihd,bjhd->bijh", queries, read[0]) + ops.cast(biases, queries.dtype)
        weights = ops.silu(scores) / self._length
        weights = ops.where(ops.expand_dims(allowed, -1), weights, ops.zeros_like(weights))
        attended = ops.reshape(ops.einsum("bijh,bjhd->bihd", weights, read[1]), (-1, x.shape[1], dim))
        y = self._output(self._attention_norm(attended) * u)
        return x + self._dropout(y, training=training), keys, values

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self._num_heads,
            "length": self._length,
            "distances": self._distances,
            "dropout": self.dropout,
        }
