"""A hidden layer whose input is masked, feature by feature, under the guidance of the row itself."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from ..check_arguments import check_rate


@keras.saving.register_keras_serializable(package="grouprank")
class MaskBlock(keras.layers.Layer):
    """Multiplies its input by an instance-guided mask before a hidden layer.

    Dense layers add features up and capture products of them poorly. The mask
    brings products in: it is computed from the row's embeddings `v`, and every
    block of a MaskNet sees the same ones:

    `mask = W₂ ReLU(W₁ v + b₁) + b₂`, `output = ReLU(LayerNorm(W (mask ⊙ hidden)))`.

    Args:
        units: width of the output.
        reduction_ratio: width of the mask's inner layer over the width of the
            mask. Defaults to `2.0`.
        activation: activation of the output. Defaults to `"relu"`.
        dropout: dropout rate of the output. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"hidden"`, what is masked (the normalised embeddings, or
            the output of the block before), and `"embedding"`, the row's embeddings
            side by side.
        training: dropout is active only if `True`.

    Input shape:
        `{"hidden": (batch, dim), "embedding": (batch, embedding width)}`.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: on a width below 1, a ratio of 0 or less, a dropout rate outside
            `[0, 1)`, or other inputs than the two.

    Example:

    >>> import numpy as np
    >>> inputs = {"hidden": np.ones((4, 6), "float32"), "embedding": np.ones((4, 8), "float32")}
    >>> tuple(MaskBlock(3)(inputs).shape)
    (4, 3)

    Reference:
        Wang et al., *MaskNet*, [arXiv:2102.07619](https://arxiv.org/abs/2102.07619), section 3.
    """

    def __init__(
        self,
        units: int,
        reduction_ratio: float = 2.0,
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"`units` must be a positive integer. Received: units={units!r}.")
        if not reduction_ratio > 0:
            raise ValueError(f"`reduction_ratio` must be positive. Received: reduction_ratio={reduction_ratio!r}.")
        check_rate(dropout=dropout)
        self.units = units
        self.reduction_ratio = reduction_ratio
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        # Without a bias: the normalisation above has one.
        self.hidden = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="hidden")
        self.normalization = keras.layers.LayerNormalization(
            epsilon=1e-5, dtype=self.dtype_policy, name="normalization"
        )
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create mask and hidden layer."""
        if set(input_shape) != {"hidden", "embedding"}:
            raise ValueError(f"`inputs` must be a dict of 'hidden' and 'embedding'. Received: {sorted(input_shape)}.")
        hidden_shape, embedding_shape = input_shape["hidden"], input_shape["embedding"]
        dim = hidden_shape[-1]
        if dim is None:
            raise ValueError(f"The last axis of 'hidden' must be known. Received: input_shape={input_shape}.")
        inner = max(1, int(dim * self.reduction_ratio))
        self.aggregation = keras.layers.Dense(inner, activation="relu", dtype=self.dtype_policy, name="aggregation")
        self.projection = keras.layers.Dense(dim, dtype=self.dtype_policy, name="projection")
        self.aggregation.build(embedding_shape)
        self.projection.build((*embedding_shape[:-1], inner))
        self.hidden.build(hidden_shape)
        self.normalization.build((*hidden_shape[:-1], self.units))
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Hidden layer of the masked input."""
        mask = self.projection(self.aggregation(inputs["embedding"]))
        x = self.activation(self.normalization(self.hidden(mask * inputs["hidden"])))
        return self._dropout(x, training=training)

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (*input_shape["hidden"][:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "reduction_ratio": self.reduction_ratio,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
