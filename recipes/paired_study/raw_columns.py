"""Prepared columns as a reader knows them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ...datasets import PreparedTable


def raw_columns(table: PreparedTable, split: str, names: Sequence[str], rows: slice = slice(None)) -> pl.DataFrame:
    """Tokens in place of ids, and numbers in their own units.

    Args:
        table: the prepared table.
        split: `"train"`, `"validation"` or `"test"`.
        names: categorical and numeric features, or extras.
        rows: the part of the split. Defaults to all.

    Raises:
        ValueError: on a sequence or a vector, which is not a single value.
    """
    columns = {}
    for name in names:
        values = np.asarray(table.column(split, name)[rows])
        if name in table.extras:
            columns[name] = pl.Series(values)
            continue
        columns[name] = table.transforms.columns[name].readable(values)
    return pl.DataFrame(columns)
