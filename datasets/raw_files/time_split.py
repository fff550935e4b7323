"""Splits at points in time, for files with a time column."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from .bad_rows import BadRows
from .delimited_file import DelimitedFile

_TRAIN_SHARE = 80
_VALIDATION_SHARE = 10


def file_times(file: DelimitedFile, column: str, chunk_rows: int = 100_000, workers: int = 1) -> np.ndarray:
    """The times of a file's rows, eight bytes each.

    Malformed rows are left out here; the pass that follows reports them.

    Args:
        file: the file.
        column: an integer column, such as seconds since 1970; rows may be in any order.
        chunk_rows: rows read at a time. Defaults to 100,000.
        workers: threads that parse chunks ahead. Defaults to 1.
    """
    chunks = file.chunks(chunk_rows, {column: "int64"}, BadRows(sys.maxsize), workers)
    return np.concatenate([frame[column].to_numpy() for frame, _ in chunks] or [np.empty(0, "int64")])


def time_bounds(path: Path, column: str, found: Sequence[np.ndarray]) -> tuple[int, int]:
    """The times at which validation and test begin: 80 % and 90 % of a file's rows are earlier.

    Args:
        path: the file, for messages.
        column: its column of times.
        found: the `file_times` of all its parts.
    """
    times = np.concatenate(found)
    if not len(times):
        raise ValueError(f"{path}: no row has an integer in column {column!r}. Fetch the file again.")
    places = [len(times) * share // 100 for share in (_TRAIN_SHARE, _TRAIN_SHARE + _VALIDATION_SHARE)]
    validation, test = np.partition(times, places)[places].tolist()
    return validation, test


def time_split(times: pl.Series, bounds: tuple[int, int]) -> pl.Series:
    """`split` of rows: training before the first bound, test from the second on.

    Example:
    >>> time_split(pl.Series([3, 7, 9]), bounds=(5, 8)).to_list()
    ['train', 'validation', 'test']
    """
    names = pl.Series("split", ["train", "validation", "test"])
    return names.gather(np.searchsorted(bounds, times.to_numpy(), side="right"))
