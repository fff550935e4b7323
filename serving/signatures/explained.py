"""What the signature `explanations` answers."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ..occlusion import FIELDS, Occlusion


def explained(logits: Callable[[dict[str, Any]], dict[str, Any]], occlusion: Occlusion) -> Callable[..., Any]:
    """A function of model inputs: what each field adds to the log-odds, `(rows, fields)` by prediction.

    It also gives the names of the fields, `(rows, fields)`, since a server's batcher takes rows apart again.

    Args:
        logits: model inputs in, logits by prediction out.
        occlusion: makes the copies of the rows without a field. All are scored as one batch.
    """

    def explain(inputs: dict[str, Any]) -> dict[str, Any]:
        found = logits(occlusion.copies(inputs, tf))
        tables = {name: tf.transpose(tf.reshape(z, [len(occlusion.fields) + 1, -1])) for name, z in found.items()}
        contributions = {name: z[:, :1] - z[:, 1:] for name, z in tables.items()}
        shape = tf.shape(next(iter(contributions.values())))
        return contributions | {FIELDS: tf.broadcast_to(tf.constant([occlusion.fields]), shape)}

    return explain
