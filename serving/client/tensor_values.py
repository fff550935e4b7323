"""A tensor of a message as an array."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

# A message may hold one value for many equal elements. The limit keeps a few bytes from filling the memory.
MAX_REPEATED = 2**20


def tensor_values(tensor: Any) -> np.ndarray:
    """The values of a `TensorProto`, after a check that its shape fits them.

    Args:
        tensor: the protocol buffer.

    Raises:
        ValueError: when it is not a tensor, or its shape has another number of elements than the message. One value may
            stand for up to 1,048,576 equal elements, and no value for as many zeros.

    Example:

    >>> tensor_values(tf.make_tensor_proto([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    shape = [int(axis.size) for axis in tensor.tensor_shape.dim]
    elements = math.prod(shape)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"expected a shape of known sizes. Received: {shape}")
    try:
        width = tf.as_dtype(tensor.dtype).size or 1
    except TypeError as error:
        raise ValueError(str(error)) from error
    if tensor.tensor_content:
        given = len(tensor.tensor_content) // width
    else:
        given = sum(len(values) for field, values in tensor.ListFields() if field.name.endswith("_val"))
    # An axis beside an empty one may still be too large for the code that uses the shape.
    fits = max(shape, default=0) <= max(given, MAX_REPEATED)
    if not fits or (given != elements and not (given <= 1 and elements <= MAX_REPEATED)):
        raise ValueError(f"the shape {shape} has {elements} elements, and {given} came")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(str(error)) from error
