"""The two steps of a codebook whose portable form is slow on some backend: find the best code, sum rows by code."""

from typing import Any

import keras
from keras import ops

BLOCK = 16


def first_largest(scores: Any) -> Any:
    """Index of the first largest entry of each row, int32 of shape `(rows,)`, of scores `(rows, codes)`.

    `ops.argmax` treats −0 as less than 0, which costs it several passes over the scores and does not matter here.
    On JAX the compiled argmax is a scalar loop besides: a maximum over blocks, which is vectorized, leaves it
    two short rows to search.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.argmax(scores, axis=-1, output_type="int32")
    codes = scores.shape[-1]
    if backend != "jax" or codes % BLOCK:
        return ops.cast(ops.argmax(scores, axis=-1), "int32")
    blocks = ops.reshape(scores, (-1, codes // BLOCK, BLOCK))
    block = ops.argmax(ops.max(blocks, axis=-1), axis=-1)
    best = ops.squeeze(ops.take_along_axis(blocks, block[:, None, None], axis=1), axis=1)
    return ops.cast(block * BLOCK + ops.argmax(best, axis=-1), "int32")


def sum_by_code(rows: Any, codes: Any, codebook_size: int) -> Any:
    """Sum of the rows `(rows, dim)` of each code, `(codebook_size, dim)`, for codes `(rows,)`."""
    if keras.backend.backend() == "torch":
        # `ops.segment_sum` widens the codes to the rows' shape, 64 bits each, before it adds anything.
        return rows.new_zeros((codebook_size, rows.shape[-1])).index_add_(0, codes, rows)
    return ops.segment_sum(rows, codes, num_segments=codebook_size)
