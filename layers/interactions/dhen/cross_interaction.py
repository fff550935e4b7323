"""A feature cross over all embeddings of a row."""

from typing import Any

import keras
import keras_rs
from keras import ops

from .linear_interaction import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class CrossInteraction(keras.layers.Layer):
    """Crosses every component with every other: one `keras_rs.layers.FeatureCross`.

    The embeddings are put side by side, crossed, and combined to the wanted number.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: embeddings below each other, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Example:

    >>> import numpy as np
    >>> tuple(CrossInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.cross = keras_rs.layers.FeatureCross(dtype=self.dtype_policy, name="cross")
        self.combine = LinearInteraction(num_embeddings, dtype=self.dtype_policy, name="combine")

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create the cross weights."""
        shape = (None, input_shape[1] * input_shape[2])
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

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_embeddings": self.num_embeddings}
