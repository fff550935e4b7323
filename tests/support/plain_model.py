"""A SavedModel of three columns without any Keras model: what servers and clients are tested with in no time."""

import tensorflow as tf

from grouprank.serving.signatures.check_rows import check_rows
from grouprank.serving.write_saved_model import name_signatures, save_signatures


def write_plain_model(folder):
    """Write `folder/saved_model`: `click` is the id, `like` the bid; `rank` takes an os a request, the rest an ad."""

    def scores(**columns):
        columns = check_rows(columns)
        return {"click": tf.cast(columns["id"], tf.float32) + 0.0 * _lengths(columns["os"]), "like": columns["bid"]}

    def rank(**columns):
        columns = check_rows(columns)
        return {"click": tf.cast(columns["id"], tf.float32) + 0.0 * _lengths(columns["os"])[:, None]}

    def specs(*shape):
        return {
            "id": tf.TensorSpec(shape, tf.int32, name="id"),
            "bid": tf.TensorSpec(shape, tf.float32, name="bid"),
            "os": tf.TensorSpec([None], tf.string, name="os"),
        }

    signatures = {
        "serving_default": tf.function(scores, autograph=False).get_concrete_function(**specs(None)),
        "rank": tf.function(rank, autograph=False).get_concrete_function(**specs(None, None)),
    }
    save_signatures(tf.Module(), signatures, folder)
    name_signatures(folder / "saved_model")
    return folder / "saved_model"


def _lengths(strings):
    return tf.cast(tf.strings.length(strings), tf.float32)
