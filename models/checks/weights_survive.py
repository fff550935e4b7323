"""A model that stays usable when its data is bad."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def weights_survive(model: Any) -> Iterator[None]:
    """Keep a model's weights when `fit`, `evaluate` or `predict` raise on JAX.

    There, Keras takes the weights out of the model before it asks for a batch, and an error leaves them out: every
    later call fails. The other backends keep weights in the model.

    Args:
        model: the model that runs inside.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> with weights_survive(model):
    ...     answer = model.predict(keras.ops.ones((2, 1)), verbose=0)
    """
    if keras.backend.backend() != "jax":
        yield
        return
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *model.metrics_variables, *(optimizer.variables if optimizer is not None else ())]
    # References alone: a finished step frees the arrays, since it overwrites them.
    held = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        # Of a run that is over; a later error would bring it back.
        model._jax_state = None
        for variable, value in held:
            # What no step has given back. `_value` tells: the public `value` makes a new one in its place.
            if variable._value is None:
                variable.assign(value)
        raise
