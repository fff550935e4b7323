"""The sum of the products of all pairs of fields."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class BiInteractionPooling(keras.layers.Layer):
    """Adds up the elementwise products of all pairs of fields.

    `Σ_{i<j} vᵢ ⊙ vⱼ`, computed as `½((Σ v)² − Σ v²)`: linear in the number of
    fields, not quadratic. The sum of its components is the second-order term of a
    factorization machine; layers above it make a neural one.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the stacked fields, of floating dtype.

    Input shape:
        `(batch, fields, width)`.

    Output shape:
        `(batch, width)`.

    Example:

    >>> import numpy as np
    >>> fields = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], "float32")
    >>> [float(value) for value in BiInteractionPooling()(fields)[0]]
    [23.0, 44.0]

    Reference:
        He and Chua, *Neural factorization machines*, eq. 3 and 4,
        [arXiv:1708.05027](https://arxiv.org/abs/1708.05027).
    """

    def call(self, inputs: Any) -> Any:
        """Pool the fields."""
        # The two terms nearly cancel where one field is much larger than the others; bfloat16 would lose the rest.
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        pooled = 0.5 * (ops.square(ops.sum(x, axis=1)) - ops.sum(ops.square(x), axis=1))
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], input_shape[-1])
