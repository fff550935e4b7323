"""The rows of one period of a log."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ..datasets.raw_files.bad_rows import BadRows
from ..datasets.raw_files.table_file import TableFile
from ..datasets.raw_files.times import microseconds


@dataclasses.dataclass(frozen=True)
class TimeCut:
    """Which rows of a table belong to a period.

    Args:
        column: the column of times.
        unit: the unit of its numbers, or how they are spelled (see `periods`).
        start: the first microsecond of the period since 1970.
        stop: the first microsecond after it.

    Example:
    >>> cut = TimeCut("time", "s", start=0, stop=5_000_000)
    >>> cut.rows(pl.DataFrame({"time": [4, 5]}))
    array([ True, False])
    """

    column: str
    unit: str | None
    start: int
    stop: int

    def rows(self, frame: pl.DataFrame) -> np.ndarray:
        """A mask of the rows of a frame that belong to the period."""
        times = microseconds(frame[self.column], self.unit)
        return ((times >= self.start) & (times < self.stop)).fill_null(False).to_numpy()


@dataclasses.dataclass(frozen=True)
class Period:
    """A day, an hour or any other part of a log, in the order of time; made by `periods`.

    It says where the rows are. They are read in chunks when they are asked for, and never held in memory as a whole.

    Args:
        name: its name in the ledger, such as `"2024-01-31"`.
        place: its place in time: that of the next period is one larger, so that a gap can be seen.
        files: the files that hold its rows; each with the numbers of the first and the last of its rows there, or
            `None` where all rows are of the period.
        cut: which of these rows belong to it, `None` for all.
        rows: number of its rows where they were counted, else `None`.

    Example:

    ```python
    for period in gr.incremental.periods("clicks"):
        rows = sum(len(frame) for frame, _, _ in period.chunks(100_000, ["click"]))
        print(period.name, rows)
    ```
    """

    name: str
    place: int
    files: tuple[tuple[Path, tuple[int, int] | None], ...]
    cut: TimeCut | None = None
    rows: int | None = None

    def chunks(
        self, chunk_rows: int, columns: Sequence[str], bad_rows: BadRows | None = None
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray, Path]]:
        """Yield frames of at most `chunk_rows` rows as they stand in the files, with their numbers and their file.

        Args:
            chunk_rows: rows read at a time.
            columns: names of the columns to read.
            bad_rows: what counts and limits the malformed lines of text files. Defaults to `None`: none may be skipped.

        Raises:
            ValueError: if a file lacks a column, or is damaged.
        """
        bad_rows = BadRows(0) if bad_rows is None else bad_rows
        wanted = list(dict.fromkeys([*columns, *([self.cut.column] if self.cut else [])]))
        for path, within in self.files:
            for frame, numbers in TableFile(path).chunks(chunk_rows, wanted, bad_rows, within=within):
                if self.cut is not None:
                    chosen = self.cut.rows(frame)
                    frame, numbers = frame.filter(pl.Series(chosen)), numbers[chosen]
                if len(frame):
                    yield frame.select(columns), numbers, path

    def columns(self) -> dict[Path, list[str]]:
        """The columns of each of its files."""
        return {path: TableFile(path).columns for path, _ in self.files}
