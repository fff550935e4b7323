"""Why `keras.models.clone_model` is not for models with losses of their own."""

from collections.abc import Mapping
from typing import Any


def refuse_cloning(model: Any, kwargs: Mapping[str, Any]) -> None:
    """Raise if Keras runs through a model's graph to clone it.

    `clone_model` makes a bare `Functional` of any functional model whose constructor takes other arguments than inputs
    and outputs: the copy would train without the model's losses and have none of its methods. Keras asks no method of
    the model whether it may. A clone's run through the graph is told by its arguments: no other names both.

    Args:
        model: the model.
        kwargs: arguments by name of the run.

    Raises:
        TypeError: if it is a clone's.

    Example:

    >>> refuse_cloning(None, {})
    """
    if {"operation_fn", "call_fn"} <= set(kwargs):
        kind = type(model).__name__
        raise TypeError(
            f"keras.models.clone_model would make a bare Functional of a {kind}, without its losses. Make a new one of "
            f"the same configuration: {kind}.from_config(model.get_config()); copy.set_weights(model.get_weights()) "
            "gives it the weights, compile() makes it ready to train."
        )
