"""What a user passes as columns, in NumPy: data frames, lists, tensors of a device."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def is_frame(table: Any) -> bool:
    """Whether a table is a data frame of pandas, polars or a library like them.

    Example:

    >>> import polars
    >>> is_frame(polars.DataFrame({"a": [1]})), is_frame({"a": [1]})
    (True, False)
    """
    return not isinstance(table, Mapping) and hasattr(table, "columns") and hasattr(table, "to_numpy")


def frame_columns(table: Any) -> Any:
    """The columns of a data frame by name, as arrays; anything else as it is.

    A column whose values are lists (a `Sequence` or a `Vector`) becomes a list of them, missing numbers become NaN.

    Args:
        table: anything.

    Example:

    >>> import polars
    >>> frame_columns(polars.DataFrame({"click": [1, None]}))
    {'click': array([ 1., nan])}
    """
    if not is_frame(table):
        return table
    return {name: _column(table[name]) for name in table.columns}


def on_host(values: Any) -> bool:
    """Whether values are an array or become one; tensors of the backend do not count.

    Example:

    >>> on_host(np.zeros(3)), on_host(keras.ops.zeros(3))
    (True, False)
    """
    return isinstance(values, list | tuple) or (hasattr(values, "__array__") and not keras.ops.is_tensor(values))


def as_host_array(values: Any) -> Any:
    """Values of any kind, tensors of a device included, as a NumPy array; `None` stays.

    Example:

    >>> as_host_array([1, 2]).tolist()
    [1, 2]
    """
    if values is None or isinstance(values, np.ndarray):
        return values
    if keras.ops.is_tensor(values):
        return np.asarray(keras.ops.convert_to_numpy(values))
    return np.asarray(values)


def _column(values: Any) -> Any:
    array = np.asarray(values)
    if array.dtype != object:
        return array
    if getattr(values.dtype, "kind", None) in ("i", "u", "f", "b"):
        # pandas' numbers with a mask of their own.
        return values.to_numpy("float64", na_value=np.nan)
    return list(array)
