"""Weights by a formula: the same on every backend, whatever its random numbers."""

import keras
import numpy as np


def wave(*shape, start=0.0):
    """Numbers in [-1, 1] without a pattern: a sine over the flat index."""
    return np.sin(np.arange(np.prod(shape, dtype=int)) * 1.7 + start).reshape(shape).astype("float32")


def set_fixed_weights(layer, scale=0.5):
    """Fill every floating weight; counters and seeds stay as they are.

    Moving averages follow the codebooks as at build, since they cannot take any value.
    """
    books = {}
    # What connects or steers a fused table, and its slots, is there on some backends and not on others.
    fused = ("gradient_hook", "learning_rate", "accumulator", "momentum", "velocity")
    filled = (w for w in layer.weights if w.name not in fused and "running_variance" not in w.path)
    for index, weight in enumerate(filled):
        scope = weight.path.rsplit("/", 1)[0]
        if not weight.dtype.startswith("float") or weight.name in ("codebook_usage", "codebook_shift"):
            continue
        if weight.name == "codebook_sums":
            weight.assign(books[scope] / weight.shape[1])
            continue
        values = scale * wave(*weight.shape, start=float(index))
        if weight.name == "codebooks":
            books[scope] = values
        weight.assign(values)


def as_array(tensor):
    """A tensor or variable as NumPy, bfloat16 as float32."""
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor)
