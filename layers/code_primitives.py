"""Two steps of a codebook that are slow in portable form on some backend: finding the best code, and sums by code."""

from typing import Any

import keras
from keras import ops

BLOCKS = (32, 16, 8)


def first_largest(scores: Any) -> Any:
    """Index of the first largest entry of each row, int32 of shape `(rows,)`, of scores `(rows, codes)`.

    JAX and torch look for the place of a maximum entry by entry, but find the maximum itself by vector instructions.
    With the maxima of blocks they have two short rows to search. TensorFlow searches fast, but its `ops.argmax` goes
    over the scores several times more to tell −0 from 0.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(scores, axis=-1, output_type="int32")
    codes = scores.shape[-1]
    block = next((block for block in BLOCKS if codes % block == 0), codes)
    if block == codes:
        return ops.cast(ops.argmax(scores, axis=-1), "int32")
    blocks = ops.reshape(scores, (-1, codes // block, block))
    winner = ops.cast(ops.argmax(ops.max(blocks, axis=-1), axis=-1), "int32")
    first = ops.arange(ops.shape(scores)[0], dtype="int32") * (codes // block)
    best = ops.take(ops.reshape(scores, (-1, block)), first + winner, axis=0)
    return winner * block + ops.cast(ops.argmax(best, axis=-1), "int32")


def sum_by_code(rows: Any, codes: Any, codebook_size: int) -> Any:
    """Sum of the rows `(rows, dim)` of each code, `(codebook_size, dim)`, for codes `(rows,)`."""
    if keras.backend.backend() == "torch":
        # `ops.segment_sum` widens the codes to the rows' shape, 64 bits each, before it adds anything.
        codes = codes.long().unsqueeze(-1).expand(rows.shape)
        return rows.new_zeros((codebook_size, rows.shape[-1])).scatter_add_(0, codes, rows)
    return ops.segment_sum(rows, codes, num_segments=codebook_size)
