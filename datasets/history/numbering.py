"""Consecutive numbers for the values of a column, in the order in which they are first seen."""

from typing import Any

import numpy as np
import polars as pl


class Numbering:
    """Gives each distinct value of a column a number, which stays its own when more rows come.

    Attributes:
        values: the values in the order of their numbers.

    Args:
        dtype: of the values.

    Example:
    >>> numbering = Numbering(pl.String())
    >>> numbering(pl.Series(["b", "a", "b"])).tolist(), numbering(pl.Series(["c", "a"])).tolist()
    ([0, 1, 0], [2, 1])
    """

    def __init__(self, dtype: pl.DataType) -> None:
        self.values = pl.Series(dtype=dtype)
        self._numbers: dict[Any, int] = {}

    def __call__(self, values: pl.Series) -> np.ndarray:
        """The number of each value, int64; values that are new get the next numbers.

        Args:
            values: integers or strings without nulls.
        """
        if not len(values):
            return np.empty(0, "int64")
        distinct = values.unique(maintain_order=True)
        found = [self._numbers.setdefault(value, len(self._numbers)) for value in distinct.to_list()]
        numbers = pl.Series(found, dtype=pl.Int64)
        self.values.extend(distinct.filter(numbers >= len(self.values)))
        table = pl.DataFrame({"value": distinct, "number": numbers})
        rows = values.alias("value").to_frame().join(table, on="value", how="left", maintain_order="left")
        return rows["number"].to_numpy()
