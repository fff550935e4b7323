"""Vectors of length 1."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class UnitVector(keras.layers.Layer):
    """Divides each vector by its Euclidean norm.

    Unlike that of `keras.layers.UnitNormalization` (measured on Keras 3.15), its gradient
    at the zero vector is not NaN. A tower whose hidden units are all off gives a zero
    vector.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: tensor of floating dtype.

    Input shape:
        `(..., dim)`.

    Output shape:
        `(..., dim)`.

    Example:

    >>> import numpy as np
    >>> ops.convert_to_numpy(UnitVector()(np.array([[3.0, 4.0], [0.0, 0.0]], "float32"))).round(2).tolist()
    [[0.6..., 0.8...], [0.0, 0.0]]
    """

    def call(self, inputs: Any) -> Any:
        """Scale each vector to length 1; zero stays zero."""
        squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-12))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape)
