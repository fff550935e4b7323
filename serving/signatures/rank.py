"""One user's columns once and many ads' columns in, a score per ad out."""

from typing import Any

import tensorflow as tf

from ..column_sides import ColumnSides
from .argument_names import argument_names
from .check_rows import check_rows
from .predict import named, trace


def rank_signature(model: Any, columns: Any) -> Any:
    """A concrete function of `(requests, ...)` and `(requests, candidates, ...)` columns.

    Requests come first, so that the server's batcher can put several into one; their lists of ads are then padded to
    the longest (`pad_variable_length_inputs`), and a client drops the scores of padding.

    Args:
        model: a model with `rank_logits`.
        columns: `GraphTransforms` or `PlainColumns`.
    """
    specs = columns.signature()
    sides = ColumnSides.of(model.schema, columns.sources)
    once, each = sides.request, sides.candidate
    given = {name: specs[name] for name in once}
    for name in each:
        shape = specs[name].shape
        given[name] = tf.TensorSpec([None, None, *shape[1:]], specs[name].dtype)
    arguments = argument_names(given)

    def serve(**received: Any) -> dict[str, Any]:
        raw = check_rows({name: received[arguments[name]] for name in given})
        raw |= check_rows({name: raw[name] for name in each}, axis=1)
        request = columns({name: raw[name] for name in once})
        lead = tf.shape(raw[each[0]])[:2]
        flat = columns({name: tf.reshape(raw[name], [-1, *specs[name].shape[1:]]) for name in each})
        lists = {
            name: tf.reshape(v, tf.concat([lead, v.shape[1:]], axis=0) if v.shape.rank > 1 else lead)
            for name, v in flat.items()
        }
        lists = {name: tf.ensure_shape(value, [None, None, *flat[name].shape[1:]]) for name, value in lists.items()}
        return named({task: tf.sigmoid(logits) for task, logits in model.rank_logits(request, lists).items()})

    return trace(serve, given)
