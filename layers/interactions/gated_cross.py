"""A feature cross that a gate weighs."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class GatedCross(keras.layers.Layer):
    """A cross of DCN V2 with a gate on each of its products.

    Crosses of a higher order bring more products, and most of them are noise. The gate reads the products found so far
    and lets each new one pass in part:

        cₗ₊₁ = c₀ ⊙ (cₗ W + b) ⊙ sigmoid(cₗ W') + cₗ

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the pair `c₀`, `cₗ` of floating dtype, as a list.

    Input shape:
        Two of `(batch, width)`.

    Output shape:
        `(batch, width)`.

    Example:

    >>> import numpy as np
    >>> x = np.ones((4, 8), "float32")
    >>> tuple(GatedCross()([x, x]).shape)
    (4, 8)

    Reference:
        Wang et al., *GDCN*, [arXiv:2311.04635](https://arxiv.org/abs/2311.04635), eq. 3.
    """

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Create the cross and the gate."""
        width = input_shape[0][-1]
        if width is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        self.cross = keras.layers.Dense(width, dtype=self.dtype_policy, name="cross")
        self.gate = keras.layers.Dense(
            width, activation="sigmoid", use_bias=False, dtype=self.dtype_policy, name="gate"
        )
        for layer in (self.cross, self.gate):
            layer.build((None, width))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The next crosses."""
        first, crossed = inputs
        return ops.cast(first, self.compute_dtype) * self.cross(crossed) * self.gate(crossed) + crossed

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape[1])
