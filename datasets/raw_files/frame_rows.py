"""Rows of a table that an engine reads, in place of a file."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from .bad_rows import BadRows
from .file_slice import part_of


class FrameRows:
    """Rows that come as frames, with the interface of a `TableFile`.

    Args:
        path: what the rows are called in messages.
        columns: names of the columns.
        frames: the rows. Defaults to `()`, for `over`.
        first: number of the first row in the whole table, counted from 1. Defaults to 1.

    Example:
    >>> rows = FrameRows(Path("clicks"), ["x"], [pl.DataFrame({"x": [5, 6]}), pl.DataFrame({"x": [7]})], first=11)
    >>> [(frame["x"].to_list(), numbers.tolist()) for frame, numbers in rows.chunks(2, ["x"], BadRows(0))]
    [([5, 6], [11, 12]), ([7], [13])]
    """

    first_number = 1

    def __init__(self, path: Path, columns: Sequence[str], frames: Iterable[pl.DataFrame] = (), first: int = 1) -> None:
        self.path, self.columns = path, list(columns)
        self._frames, self.first = frames, first

    def over(self, frames: Iterable[pl.DataFrame]) -> "FrameRows":
        """The same table with its rows."""
        return part_of(self, _frames=frames)

    def chunks(
        self, chunk_rows: int, columns: Sequence[str], bad_rows: BadRows, workers: int = 1
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield frames of at most `chunk_rows` rows, each with its rows' numbers (see `TableFile.chunks`)."""
        first = self.first
        for frame in _of_size(self._frames, chunk_rows):
            yield frame.select(columns), np.arange(first, first + len(frame))
            first += len(frame)


def _of_size(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The rows of some frames in frames of some size; the last one may be shorter."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        while sum(map(len, held)) >= rows:
            whole = pl.concat(held)
            yield whole[:rows]
            held = [whole[rows:]] if len(whole) > rows else []
    if held:
        yield pl.concat(held)
