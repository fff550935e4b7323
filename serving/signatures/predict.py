"""Signatures of the Predict API, which take raw columns of any number of rows."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from .argument_names import argument_names
from .check_rows import check_rows


def predict_signature(function: Callable[..., Any], columns: Any) -> Any:
    """A concrete function of named raw columns.

    Args:
        function: model inputs in, a dict of outputs out.
        columns: `GraphTransforms` or `PlainColumns`.
    """
    specs = columns.signature()
    arguments = argument_names(specs)

    def serve(**given: Any) -> dict[str, Any]:
        return named(function(columns(check_rows({name: given[arguments[name]] for name in specs}))))

    return trace(serve, specs)


def trace(serve: Callable[..., Any], specs: Mapping[str, Any]) -> Any:
    """A concrete function of the columns, whose arguments are named by `argument_names`.

    Args:
        serve: the function.
        specs: a spec by column.
    """
    arguments = argument_names(specs)
    # No model branches on a tensor in Python, and AutoGraph takes four fifths of the time to look for such branches.
    return tf.function(serve, autograph=False).get_concrete_function(
        **{arguments[name]: tf.TensorSpec(s.shape, s.dtype, name=arguments[name]) for name, s in specs.items()}
    )


def named(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs under names that show in the graph."""
    names = argument_names(outputs)
    return {name: tf.identity(value, name=names[name]) for name, value in outputs.items()}
