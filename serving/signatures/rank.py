"""The signature that takes a user's columns once and the columns of many ads, and returns a score per ad."""

from typing import Any

import tensorflow as tf

from ..arranged_weights import ArrangedWeights
from ..column_sides import ColumnSides
from .argument_names import argument_names
from .check_rows import check_rows
from .predict import named, trace


def rank_signature(model: Any, columns: Any, arranged: ArrangedWeights) -> Any:
    """A concrete function of `(requests, ...)` and `(requests, candidates, ...)` columns.

    Requests come first, so that the server's batcher can put several into one; their lists of ads are then padded to
    the longest (`pad_variable_length_inputs`), and a client drops the scores of padding.

    Args:
        model: a model with `rank_logits`.
        columns: `GraphTransforms` or `PlainColumns`.
        arranged: keeps the model's weights in the order in which the graph reads them.
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
        requests, candidates = tf.unstack(tf.shape(raw[each[0]])[:2])
        ads = columns({name: tf.reshape(raw[name], [-1, *specs[name].shape[1:]]) for name in each})
        if any(feature.name not in ads for feature in model.schema.on_side("ad")):
            # Leaves of trees over both sides belong to a pair.
            ads |= columns.leaves({n: tf.repeat(column, candidates, axis=0) for n, column in request.items()} | ads)
        logits = model.rank_logits(request, ads, arranged, (requests, candidates))
        return named({task: tf.sigmoid(value) for task, value in logits.items()})

    return trace(serve, given)
