"""Two representations as one, with a product of theirs."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ..stacked_initializer import stacked_initializer


@keras.saving.register_keras_serializable(package="grouprank")
class BilinearFusion(keras.layers.Layer):
    """Puts two representations side by side, and their multi-head bilinear product next to them.

    FinalMLP fuses its two streams into a logit,
    `b + w₁·o₁ + w₂·o₂ + Σ_h o₁ₕᵀ W_h o₂ₕ` over `num_heads` equal parts of both. This
    layer keeps the terms of that sum apart, `concat[o₁, o₂, (o₁ₕᵀ W_h) ⊙ o₂ₕ …]`, so
    that several tasks can share them: a linear layer with ones on the last part is
    the paper's logit.

    Args:
        num_heads: number of heads, a divisor of both widths. Defaults to `1`.
        kernel_initializer: initializer of each head's matrix. Defaults to
            `"glorot_uniform"`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"left"` and `"right"`, of floating dtype.

    Input shape:
        `{"left": (batch, width1), "right": (batch, width2)}`.

    Output shape:
        `(batch, width1 + 2 * width2)`.

    Raises:
        ValueError: on a number of heads below 1 or that does not divide the widths,
            or other inputs than the two.

    Example:

    >>> import numpy as np
    >>> inputs = {"left": np.ones((3, 8), "float32"), "right": np.ones((3, 4), "float32")}
    >>> tuple(BilinearFusion(num_heads=2)(inputs).shape)
    (3, 16)

    Reference:
        Mao et al., *FinalMLP*, [arXiv:2304.00902](https://arxiv.org/abs/2304.00902): stream-level
        interaction aggregation.
    """

    def __init__(
        self,
        num_heads: int = 1,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_heads, int) or num_heads < 1:
            raise ValueError(f"`num_heads` must be a positive integer. Received: num_heads={num_heads!r}.")
        self.num_heads = num_heads
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create a matrix per head."""
        if set(input_shape) != {"left", "right"}:
            raise ValueError(f"`inputs` must be a dict of 'left' and 'right'. Received: {sorted(input_shape)}.")
        left, right = input_shape["left"][-1], input_shape["right"][-1]
        if left is None or right is None:
            raise ValueError(f"The last axes of the inputs must be known. Received: input_shape={input_shape}.")
        if left % self.num_heads or right % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the widths of both inputs. "
                f"Received: num_heads={self.num_heads}, widths {left} and {right}."
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_heads, left // self.num_heads, right // self.num_heads),
            initializer=stacked_initializer(self.kernel_initializer),
        )
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Both inputs and their product."""
        left, right = inputs["left"], inputs["right"]
        heads = ops.reshape(left, (-1, self.num_heads, self.kernel.shape[1]))
        mapped = ops.reshape(ops.einsum("bhi,hij->bhj", heads, self.kernel), (-1, right.shape[-1]))
        return ops.concatenate([left, right, mapped * right], axis=-1)

    def compute_output_shape(self, input_shape: Mapping[str, tuple[Any, ...]]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        left, right = input_shape["left"], input_shape["right"]
        return (left[0], left[-1] + 2 * right[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
