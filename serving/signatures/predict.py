"""Raw columns in, as many rows as you like: the signatures of the Predict API."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from .check_rows import check_rows


def predict_signature(function: Callable[..., Any], columns: Any) -> Any:
    """A concrete function of named raw columns.

    Args:
        function: model inputs in, a dict of outputs out.
        columns: `GraphTransforms` or `PlainColumns`.
    """

    def serve(**raw: Any) -> dict[str, Any]:
        return named(function(columns(check_rows(raw))))

    return tf.function(serve).get_concrete_function(**columns.signature())


def named(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs under names that show in the graph."""
    return {name: tf.identity(value, name=name) for name, value in outputs.items()}
