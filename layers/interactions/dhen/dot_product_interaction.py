"""Inner products of the embeddings of a row."""

from typing import Any

import keras
import keras_rs
from keras import ops

from ...check_arguments import known_sizes
from .embedding_interaction import EmbeddingInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class DotProductInteraction(EmbeddingInteraction):
    """Takes the inner products of all pairs of embeddings, as DLRM does.

    Use it where the similarity of two fields tells something, such as that of a user and an ad. A linear layer makes
    embeddings of the products of `keras_rs.layers.DotInteraction`.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`, at least two embeddings.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: on a number below 1, inputs of another rank or of unknown size, or a single embedding, which makes
            no pair.

    Example:

    >>> import numpy as np
    >>> tuple(DotProductInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Naumov et al., *DLRM*, [arXiv:1906.00091](https://arxiv.org/abs/1906.00091).
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(num_embeddings, **kwargs)
        self.dot = keras_rs.layers.DotInteraction(dtype=self.dtype_policy, name="dot")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the linear layer."""
        fields, dim = known_sizes(input_shape)
        if fields < 2:
            raise ValueError(f"Inner products need at least two embeddings. Received: input_shape={input_shape}.")
        self.dense = keras.layers.Dense(self.num_embeddings * dim, dtype=self.dtype_policy, name="dense")
        self.dense.build((None, fields * (fields - 1) // 2))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Embeddings of the inner products."""
        _, fields, dim = inputs.shape
        products = self.dot(ops.unstack(inputs, fields, axis=1))
        return ops.reshape(self.dense(products), (-1, self.num_embeddings, dim))
