"""Prepared columns as a reader knows them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ...datasets import NumericTransform, PreparedTable, VocabularyTransform

UNKNOWN = "(rare or unknown)"


def raw_columns(table: PreparedTable, split: str, names: Sequence[str], rows: slice = slice(None)) -> pl.DataFrame:
    """Tokens in place of ids, and numbers in their own units.

    Args:
        table: the prepared table.
        split: `"train"`, `"validation"` or `"test"`.
        names: categorical and numeric features, or extras.
        rows: the part of the split. Defaults to all.

    Raises:
        ValueError: on a sequence or a vector, which are no single value.
    """
    columns = {}
    for name in names:
        values = np.asarray(table.column(split, name)[rows])
        if name in table.extras:
            columns[name] = pl.Series(values)
            continue
        transform = table.transforms.columns[name]
        if isinstance(transform, VocabularyTransform):
            tokens = np.array([UNKNOWN, *(str(token) for token in transform.tokens)], dtype=object)
            columns[name] = pl.Series(tokens[values], dtype=pl.String)
        elif isinstance(transform, NumericTransform):
            raw = values.astype("float64") * transform.std + transform.mean
            # What is left of 0 after float32.
            raw[np.abs(raw) < 1e-6 * transform.std] = 0.0
            columns[name] = pl.Series(np.sign(raw) * np.expm1(np.abs(raw)) if transform.function == "log1p" else raw)
        else:
            raise ValueError(f"Column {name!r} is a {transform.kind} and has no single value to show.")
    return pl.DataFrame(columns)
