"""Numbers as vectors of the embeddings' width."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class NumericEmbedding(keras.layers.Layer):
    """Maps each number `x` to `x · v + b` with a vector pair of its own.

    Interaction layers need every field at one width. With this layer a numeric
    column is a field like an embedded id, at the price of two vectors per column.

    Args:
        embedding_dim: width of the vectors. Defaults to `16`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the columns side by side, of floating dtype.

    Input shape:
        `(batch, columns)`.

    Output shape:
        `(batch, columns, embedding_dim)`.

    Example:

    >>> import numpy as np
    >>> tuple(NumericEmbedding(embedding_dim=8)(np.ones((4, 3), "float32")).shape)
    (4, 3, 8)

    Reference:
        Song et al., *AutoInt*, eq. 4, [arXiv:1810.11921](https://arxiv.org/abs/1810.11921)
        (here with a bias, so that a value of 0 still has a direction).
    """

    def __init__(self, embedding_dim: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be a positive integer. Received: embedding_dim={embedding_dim}.")
        self.embedding_dim = embedding_dim

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a vector pair per column."""
        shape = (input_shape[-1], self.embedding_dim)
        self.vectors = self.add_weight(name="vectors", shape=shape, initializer="random_normal")
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Scale each column's vector by its value."""
        return ops.expand_dims(inputs, -1) * self.vectors + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (*input_shape, self.embedding_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "embedding_dim": self.embedding_dim}
