"""Frames of polars, pandas or plain columns as one kind."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl


def polars_frame(frame: Any, columns: Iterable[str] | None = None) -> pl.DataFrame:
    """The same rows as a polars frame; pandas is not needed for it, and not imported.

    Args:
        frame: a polars frame, which is returned as it is, a pandas frame, or arrays by column.
        columns: those that are needed, so that a wide pandas frame is not converted as a whole. `None`, or a name that
            is missing, converts all. Defaults to `None`.

    Raises:
        ValueError: on something else, or two columns of one name.

    Example:

    >>> polars_frame({"click": [1.0, 0.0]}).shape
    (2, 1)
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, Mapping):
        return pl.DataFrame({str(name): _series(np.asarray(values)) for name, values in frame.items()})
    if not all(hasattr(frame, name) for name in ("columns", "iloc", "isna")):
        raise ValueError(
            "Expected a frame: polars.DataFrame, pandas.DataFrame, or a dict of arrays by column. "
            f"Received: {type(frame).__name__}."
        )
    names = [str(name) for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"A frame must have one column of each name. Received more than one of: {twice}.")
    wanted = set(names if columns is None else columns)
    chosen = names if wanted - set(names) else [name for name in names if name in wanted]
    found = {}
    for name in chosen:
        column = frame.iloc[:, names.index(name)]
        # The types that pandas adds to NumPy's would turn into floats where a value is missing: 1 into 1.0.
        plain = isinstance(column.dtype, np.dtype)
        values = column.to_numpy() if plain else column.to_numpy(dtype=object)
        found[name] = _series(values, column.isna().to_numpy())
    return pl.DataFrame(found)


def _series(values: np.ndarray, missing: np.ndarray | None = None) -> pl.Series:
    """Objects become whatever polars has for them, those that are missing null."""
    if values.dtype != object:
        return pl.Series(values)
    cells = values.tolist()
    if missing is not None:
        cells = [None if lacks else cell for cell, lacks in zip(cells, missing.tolist(), strict=True)]
    if any(isinstance(cell, str) for cell in cells):
        return pl.Series([None if cell is None else str(cell) for cell in cells], dtype=pl.String)
    return pl.Series(cells)
