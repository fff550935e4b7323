"""Integers of one size as integers of another."""

from typing import Any

import numpy as np


def as_integers(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The same integers in another dtype; one that does not fit is an error, since a cast would change it.

    Args:
        values: integers or booleans.
        dtype: an integer dtype.

    Raises:
        ValueError: naming the first value that lies outside.

    Example:

    >>> as_integers(np.array([7, 2**32 + 1]), "int32")
    Traceback (most recent call last):
        ...
    ValueError: 4294967297 at 1 is no int32, which holds -2147483648 to 2147483647
    """
    limits = np.iinfo(dtype)
    if values.dtype.kind != "b":
        # Of Python's integers, which every dtype of NumPy is compared with by value.
        outside = np.argwhere((values < limits.min) | (values > limits.max))
        if len(outside):
            place = tuple(int(axis) for axis in outside[0])
            raise ValueError(
                f"{values[place]} at {', '.join(map(str, place))} is no {np.dtype(dtype).name}, which holds "
                f"{limits.min} to {limits.max}"
            )
    return values.astype(dtype)
