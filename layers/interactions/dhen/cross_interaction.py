"""A feature cross over all embeddings of a row."""

from typing import Any

import keras
import keras_rs
from keras import ops

from ...check_arguments import known_sizes
from .embedding_interaction import EmbeddingInteraction
from .linear_interaction import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class CrossInteraction(EmbeddingInteraction):
    """Multiplies every component of a row's embeddings with every other, as a layer of DCN V2 does.

    Use it for explicit products of features. `keras_rs.layers.FeatureCross` crosses the embeddings, which lie side by
    side. A `LinearInteraction` combines the result to the wanted number of embeddings.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: on a number below 1, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(CrossInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1.
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(num_embeddings, **kwargs)
        self.cross = keras_rs.layers.FeatureCross(dtype=self.dtype_policy, name="cross")
        self.combine = LinearInteraction(num_embeddings, dtype=self.dtype_policy, name="combine")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the cross weights."""
        embeddings, dim = known_sizes(input_shape)
        shape = (None, embeddings * dim)
        self.cross.build(shape)
        # keras-rs creates its inner layer in `build` but leaves it unbuilt.
        self.cross.dense.build(shape)
        self.combine.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Combinations of the crossed embeddings."""
        _, fields, dim = inputs.shape
        crossed = self.cross(ops.reshape(inputs, (-1, fields * dim)))
        return self.combine(ops.reshape(crossed, (-1, fields, dim)))
