"""Multi-head self-attention between the fields of a row."""

from typing import Any

import keras
from keras import ops

from ..check_arguments import check_rate


@keras.saving.register_keras_serializable(package="grouprank")
class FieldSelfAttention(keras.layers.Layer):
    """Lets every field of a row attend to all of its fields: AutoInt's interacting layer.

    A field `e_m` is combined with the fields that matter for it. Head `h` weighs
    them by `softmax_k ⟨W_q e_m, W_k e_k⟩` and adds up their values `W_v e_k`; the
    heads are put side by side, and the output is `ReLU(heads + W_res e_m)`.
    Stack such layers for interactions of higher order.

    Args:
        num_heads: number of heads. Defaults to `2`.
        head_dim: width of a head. Defaults to `32`.
        use_scale: divide the inner products by `√head_dim`, as Transformers do and
            the paper does not. Defaults to `False`.
        dropout: dropout rate of the attention weights. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the stacked fields, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, fields, dim)`.

    Output shape:
        `(batch, fields, num_heads * head_dim)`.

    Raises:
        ValueError: on a number of heads or a width below 1, a dropout rate outside
            `[0, 1)`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(FieldSelfAttention(num_heads=2, head_dim=4)(np.ones((5, 3, 6), "float32")).shape)
    (5, 3, 8)

    Reference:
        Song et al., *AutoInt*, [arXiv:1810.11921](https://arxiv.org/abs/1810.11921), eq. 5 to 8.
    """

    def __init__(
        self,
        num_heads: int = 2,
        head_dim: int = 32,
        use_scale: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_heads", num_heads), ("head_dim", head_dim)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
        check_rate(dropout=dropout)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.use_scale = use_scale
        self.dropout = dropout
        # `keras.layers.MultiHeadAttention` scales the inner products and projects the heads once more: not this layer.
        self.query, self.key, self.value, self.residual = (
            keras.layers.Dense(num_heads * head_dim, use_bias=False, dtype=self.dtype_policy, name=name)
            for name in ("query", "key", "value", "residual")
        )
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the four projections."""
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "`inputs` must have the shape (batch, fields, dim), with known fields and dim. "
                f"Received: input_shape={input_shape}."
            )
        for layer in (self.query, self.key, self.value, self.residual):
            layer.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Fields after attention."""
        fields = inputs.shape[1]
        query, key, value = (
            ops.reshape(layer(inputs), (-1, fields, self.num_heads, self.head_dim))
            for layer in (self.query, self.key, self.value)
        )
        scores = ops.einsum("bmhd,bkhd->bhmk", query, key)
        if self.use_scale:
            scores = scores / self.head_dim**0.5
        weights = self._dropout(ops.softmax(scores, axis=-1), training=training)
        heads = ops.einsum("bhmk,bkhd->bmhd", weights, value)
        heads = ops.reshape(heads, (-1, fields, self.num_heads * self.head_dim))
        return ops.relu(heads + self.residual(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (*input_shape[:-1], self.num_heads * self.head_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "use_scale": self.use_scale,
            "dropout": self.dropout,
        }
