"""Data frames as columns by name."""

from collections.abc import Mapping
from typing import Any

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


def _column(values: Any) -> Any:
    array = np.asarray(values)
    if array.dtype != object:
        return array
    if getattr(values.dtype, "kind", None) in ("i", "u", "f", "b"):
        # pandas' numbers with a mask of their own.
        return values.to_numpy("float64", na_value=np.nan)
    return list(array)
