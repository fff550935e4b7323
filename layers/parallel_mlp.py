"""Several stacks of dense layers of one shape, computed together."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .check_arguments import check_rate
from .stacked_initializer import stacked_initializer


@keras.saving.register_keras_serializable(package="grouprank")
class ParallelMLP(keras.layers.Layer):
    """Dense networks of one shape with weights of their own, side by side.

    Experts of a multi-task structure and heads of residual learning are many
    small networks over one input. One matrix product for all of them keeps a
    processor busier than a product for each, with the same arithmetic.

    Args:
        num_networks: number of networks.
        units: widths of each network's layers.
        activation: activation after each layer. Defaults to `"relu"`.
        dropout: dropout rate after each layer. Defaults to `0.0`.
        output_units: width of a last linear layer, or `None` for none. Defaults to `None`.
        kernel_initializer: initializer of each network's kernels. Defaults to
            `"glorot_uniform"`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: tensor of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`.

    Output shape:
        `(batch, num_networks, width of the last layer)`.

    Raises:
        ValueError: on a number or a width below 1, no layer at all, or a dropout rate
            outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> tuple(ParallelMLP(3, units=(32, 16))(np.ones((4, 8), "float32")).shape)
    (4, 3, 16)
    """

    def __init__(
        self,
        num_networks: int,
        units: Sequence[int],
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        output_units: int | None = None,
        *,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.output_units = output_units
        self._widths = [*self.units, *([] if output_units is None else [output_units])]
        if not isinstance(num_networks, int) or num_networks < 1:
            raise ValueError(f"`num_networks` must be a positive integer. Received: num_networks={num_networks!r}.")
        if not self._widths or any(not isinstance(width, int) or width < 1 for width in self._widths):
            raise ValueError(
                "`units` and `output_units` must be positive integers, at least one in all. "
                f"Received: units={units!r}, output_units={output_units!r}."
            )
        check_rate(dropout=dropout)
        self.num_networks = num_networks
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._dropouts = [
            keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=f"dropout_{index}")
            for index in range(len(self.units))
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels, each network's drawn as if it stood alone."""
        fan_in = input_shape[-1]
        if fan_in is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        self._kernels, self._biases = [], []
        for index, width in enumerate(self._widths):
            # The first kernel is laid out for one product of all networks, later ones for a product each.
            axis = 1 if index == 0 else 0
            shape = (fan_in, self.num_networks, width) if axis else (self.num_networks, fan_in, width)
            draw = stacked_initializer(self.kernel_initializer, axis)
            self._kernels.append(self.add_weight(name=f"kernel_{index}", shape=shape, initializer=draw))
            bias_shape = (self.num_networks, width)
            self._biases.append(self.add_weight(name=f"bias_{index}", shape=bias_shape, initializer="zeros"))
            fan_in = width
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply every network to the inputs."""
        dim, networks, width = self._kernels[0].shape
        x = ops.matmul(inputs, ops.reshape(self._kernels[0], (dim, networks * width)))
        x = ops.reshape(x, (-1, networks, width)) + self._biases[0]
        for index in range(len(self._widths)):
            if index:
                x = ops.einsum("bni,nio->bno", x, self._kernels[index]) + self._biases[index]
            if index < len(self.units):
                x = self._dropouts[index](self.activation(x), training=training)
        return x

    @property
    def last_bias(self) -> Any:
        """Biases of the last layer, `(num_networks, width)`; exists once the layer is built."""
        return self._biases[-1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_networks, self._widths[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_networks": self.num_networks,
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "output_units": self.output_units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
