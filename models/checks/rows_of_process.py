"""Predictions that a process of JAX has made of its own rows."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from ...distribution import world_size


@contextlib.contextmanager
def rows_of_process(model: keras.Model) -> Iterator[None]:
    """Let `predict` give each of several processes of JAX the predictions of the rows that it passes.

    Keras collects the predictions of all processes there, which no process can read.

    Args:
        model: the model whose `predict` is called inside.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with rows_of_process(model):
    ...     answer = model.predict(np.ones((3, 2)), verbose=0)
    >>> answer.shape
    (3, 1)
    """
    if keras.backend.backend() != "jax" or world_size() == 1:
        yield
        return
    model.make_predict_function()
    of_all = model.predict_function

    def of_process(state: Any, iterator: Any) -> tuple[Any, Any]:
        outputs, state = of_all(state, iterator)
        return keras.tree.map_structure(_own_rows, outputs), state

    model.predict_function = of_process
    try:
        yield
    finally:
        model.predict_function = of_all


def _own_rows(values: Any) -> np.ndarray:
    """The rows that lie on devices of this process, in their order."""
    parts = {shard.index[0].start or 0: shard.data for shard in values.addressable_shards}
    return np.concatenate([np.asarray(parts[start]) for start in sorted(parts)])
