"""Dense layers that read the same columns, as one."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class JoinedDense:
    """The kernels and biases of dense layers on the same columns, side by side.

    Four products of 64 columns take about twice the time of one of 256.

    Args:
        layers: built layers; all with a bias or none.

    Example:

    >>> import numpy as np
    >>> layers = [keras.layers.Dense(2), keras.layers.Dense(3)]
    >>> for layer in layers:
    ...     layer.build((None, 4))
    >>> joined = JoinedDense(layers)
    >>> tuple(joined.kernel().shape), [tuple(y.shape) for y in joined.split(np.ones((7, 5)))]
    ((4, 5), [(7, 2), (7, 3)])
    """

    def __init__(self, layers: Sequence[keras.layers.Dense]) -> None:
        self._layers = list(layers)
        self.key = "+".join(layer.path for layer in self._layers)
        self.units = sum(layer.units for layer in self._layers)
        self.dtype = self._layers[0].compute_dtype
        self.use_bias = bool(self._layers[0].use_bias)

    def kernel(self) -> Any:
        """`(columns, units)`."""
        return ops.concatenate([layer.kernel for layer in self._layers], axis=1)

    def bias(self) -> Any:
        """`(units,)`; zeros without a bias."""
        if not self.use_bias:
            return ops.zeros((self.units,), self.dtype)
        return ops.concatenate([layer.bias for layer in self._layers])

    def activation(self, outputs: Any) -> Any:
        """The first layer's, for all of them."""
        return self._layers[0].activation(outputs)

    def split(self, outputs: Any) -> list[Any]:
        """Each layer's own columns."""
        start, parts = 0, []
        for layer in self._layers:
            parts.append(outputs[:, start : start + layer.units])
            start += layer.units
        return parts
