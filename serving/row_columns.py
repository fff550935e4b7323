"""Rows of a caller as the columns that a SavedModel takes."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableTransforms
from ..datasets.transforms.raw_values import as_bytes
from ..schema import Schema
from .sample_rows import sample_rows


def row_columns(rows: Any, dtypes: Mapping[str, str | None], argument: str = "rows") -> dict[str, np.ndarray]:
    """The columns named, as NumPy arrays of a signature's dtypes.

    Args:
        rows: a polars frame or a dict of columns.
        dtypes: column name to `"string"`, `"int64"`, `"float32"` or `None` (as it is).
        argument: what the caller calls the rows, for errors. Defaults to `"rows"`.

    Raises:
        ValueError: when a column is missing, a string column holds values other than strings and integers, or there are
            no rows.

    Example:

    >>> row_columns({"os": ["android", None, 7]}, {"os": "string"})
    {'os': array([b'android', b'', b'7'], dtype=object)}
    """
    available = rows.columns if isinstance(rows, pl.DataFrame) else list(rows)
    missing = [name for name in dtypes if name not in available]
    if missing:
        raise ValueError(
            f"`{argument}` lacks the raw columns {missing}. Expected: {list(dtypes)}. Received: {list(available)}."
        )
    columns = {}
    for name, dtype in dtypes.items():
        values = rows[name]
        if dtype == "string":
            columns[name] = as_bytes(name, values)
            continue
        values = values.to_numpy() if isinstance(values, pl.Series) else values
        columns[name] = np.asarray(values, "float32" if dtype == "float32" else None)
    if not len(next(iter(columns.values()))):
        raise ValueError(f"`{argument}` is empty. Expected at least one row.")
    return columns


def raw_rows(schema: Schema, transforms: TableTransforms | None, rows: Any = None) -> dict[str, np.ndarray]:
    """Columns of a model's signature, of a caller's rows or, without any, drawn from the vocabularies."""
    dtypes = dict.fromkeys(schema.feature_names) if transforms is None else transforms.raw_columns
    return row_columns(sample_rows(transforms, schema) if rows is None else rows, dtypes)


def row_labels(model: Any, rows: Any) -> dict[str, np.ndarray]:
    """Labels of a caller's rows by prediction, if the rows have a column for each task; else nothing."""
    if rows is None or not set(model.schema.task_names) <= set(rows.columns if hasattr(rows, "columns") else rows):
        return {}
    columns = {task: np.asarray(rows[task], "float32") for task in model.schema.task_names}
    return {name: keras.ops.convert_to_numpy(label).reshape(-1) for name, label in model.labels(columns).items()}
