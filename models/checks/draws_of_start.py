"""Random numbers of training that do not depend on what was called before it."""

from typing import Any

import keras


class DrawsOfStart(keras.callbacks.Callback):
    """Lets training on torch begin with the random numbers that stood next when this callback was made.

    Before the first step, Keras runs a model once whose metrics or layers are not all built, and layers without a seed
    of their own then draw from torch's generator. A model that was loaded to go on would train otherwise than one that
    goes on. Make it right before `fit`, and put it before callbacks that restore a generator themselves. On other
    backends it does nothing, since their layers draw from seeds that a file keeps.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(keras.ops.ones((1, 2)), keras.ops.ones((1, 2)), verbose=0, callbacks=[DrawsOfStart()])
    """

    def __init__(self) -> None:
        super().__init__()
        self._states: Any = None
        if keras.backend.backend() == "torch":
            import torch

            self._states = torch.get_rng_state(), torch.cuda.get_rng_state_all()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Set the generators."""
        if self._states is not None:
            import torch

            torch.set_rng_state(self._states[0])
            torch.cuda.set_rng_state_all(self._states[1])
