"""A function of a model's tensors, compiled and called batch by batch as Keras does it in `predict`."""

from collections.abc import Callable
from typing import Any

import keras


class CompiledCall:
    """What a function makes of columns, as NumPy.

    It is no layer, so that the model whose weights the function reads may keep it.

    Args:
        model: the model.
        function: makes of a dict of tensors a dict of tensors.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.Dense(1, kernel_initializer="ones")
    >>> layer.build((None, 2))
    >>> CompiledCall(layer, lambda x: {"sum": layer(x["a"])}).predict({"a": np.ones((1, 2))})["sum"].tolist()
    [[2.0]]
    """

    def __init__(self, model: keras.layers.Layer, function: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._caller = _Caller(model, function)

    def predict(self, x: Any, batch_size: int | None = None) -> dict[str, Any]:
        """Outputs by name.

        Args:
            x: columns, or a loader.
            batch_size: rows of a call. Defaults to `None`, Keras' 32.
        """
        return self._caller.predict(x, batch_size=batch_size, verbose=0)


class _Caller(keras.Model):
    def __init__(self, model: keras.layers.Layer, function: Any) -> None:
        # TensorFlow takes no name that begins with an underscore, as the class' own would.
        super().__init__(name="compiled_call")
        self.model, self._function = model, function
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self._function(inputs)
