"""A stack of dense layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from .check_arguments import check_rate

_NORMALIZATIONS = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}
# Layers that do something else in training.
_TRAINING = (keras.layers.Dropout, keras.layers.BatchNormalization)


@keras.saving.register_keras_serializable(package="grouprank")
class MLP(keras.layers.Layer):
    """Dense layers, each followed by an activation and dropout.

    Backbones, towers and heads are made of it.

    Args:
        units: widths of the layers; an empty tuple is the identity.
        activation: activation after each layer. Defaults to `"relu"`.
        dropout: dropout rate after each layer. Defaults to `0.0`.
        output_units: width of a last linear layer, or `None` for none. Defaults to `None`.
        kernel_regularizer: regularizer of the kernels. Defaults to `None`.
        output_initializer: initializer of the last linear layer's kernel. Defaults to `"glorot_uniform"`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`. The
            last linear layer has none. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: tensor of floating dtype.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        `(..., dim)`.

    Output shape:
        `(..., width of the last layer)`.

    Raises:
        ValueError: on a width below 1, a dropout rate outside `[0, 1)` or an unknown `normalization`.

    Example:

    >>> import numpy as np
    >>> tuple(MLP((32, 16), dropout=0.1)(np.ones((4, 8), "float32")).shape)
    (4, 16)
    """

    def __init__(
        self,
        units: Sequence[int],
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        output_units: int | None = None,
        *,
        kernel_regularizer: str | keras.regularizers.Regularizer | None = None,
        output_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        if any(not isinstance(width, int) or width < 1 for width in self.units):
            raise ValueError(f"`units` must hold positive integers. Received: units={units!r}.")
        check_rate(dropout=dropout)
        if normalization not in (None, *_NORMALIZATIONS):
            raise ValueError(
                f"`normalization` must be one of {[None, *_NORMALIZATIONS]}. Received: normalization={normalization!r}."
            )
        self.activation = keras.activations.get(activation)
        self.normalization = normalization
        self.dropout = dropout
        self.output_units = output_units
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self._stack: list[keras.layers.Layer] = []
        for index, width in enumerate(self.units):
            # What is normalized gets its activation afterwards.
            self._stack.append(self._dense(width, None if normalization else self.activation, f"dense_{index}"))
            if normalization is not None:
                kind = _NORMALIZATIONS[normalization]
                self._stack.append(kind(dtype=self.dtype_policy, name=f"{normalization}_normalization_{index}"))
                self._stack.append(
                    keras.layers.Activation(self.activation, dtype=self.dtype_policy, name=f"activation_{index}")
                )
            if dropout:
                self._stack.append(keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=f"dropout_{index}"))
        if output_units is not None:
            self._stack.append(self._dense(output_units, None, "output", self.output_initializer))

    def _dense(self, width: int, activation: Any, name: str, initializer: Any = "glorot_uniform") -> keras.layers.Dense:
        return keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer=initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the layers in order."""
        for layer in self._stack:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply the layers in order."""
        for layer in self._stack:
            inputs = layer(inputs, training=training) if isinstance(layer, _TRAINING) else layer(inputs)
        return inputs

    @property
    def first(self) -> keras.layers.Dense | None:
        """The layer that reads the inputs; `None` if there are no layers."""
        return self._stack[0] if self._stack else None

    @property
    def last_bias(self) -> Any:
        """Biases of the last layer; exists once the layer is built."""
        return next(layer.bias for layer in reversed(self._stack) if isinstance(layer, keras.layers.Dense))

    def after_first(self, outputs: Any) -> Any:
        """Apply all layers but the first to its outputs, as in inference.

        Use it where the first layer is computed in another way, for example because a part of the inputs is the same
        for many rows.

        Args:
            outputs: what the layer `first` gives.
        """
        for layer in self._stack[1:]:
            outputs = layer(outputs, training=False) if isinstance(layer, _TRAINING) else layer(outputs)
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        widths = [*self.units, *([] if self.output_units is None else [self.output_units])]
        return (*input_shape[:-1], widths[-1]) if widths else tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "output_units": self.output_units,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
            "normalization": self.normalization,
        }
