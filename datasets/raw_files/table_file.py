"""A user's table in one file, CSV or Parquet, read in chunks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from .bad_rows import BadRows
from .delimited_file import DelimitedFile
from .file_slice import Run, part_of
from .text_format import TextFormat

_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
# Reading a slice of a Parquet file decodes all rows before it in its row group, so one slice serves several chunks.
_SLICE_CHUNKS = 5


class TableFile:
    """A CSV, TSV or Parquet file as frames of named columns with row numbers, in memory bounded by the chunk.

    `TextFormat` says how the separator of a text file is found, and what is refused. Its columns come as strings, those
    of a Parquet file in their own types.

    Args:
        path: the file: `.csv`, `.tsv`, `.txt`, any of them as `.gz`, `.parquet` or `.pq`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: on another ending, or a file that is empty, no Parquet, or text without a header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist. Pass a .csv, .tsv or .parquet file.")
        ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
        self._text: DelimitedFile | None = None
        self._within: tuple[int, int] | None = None
        if ending in _TEXT:
            self._text, self._format = _open_text(path)
            self.columns = self._text.columns
        elif path.suffix in _PARQUET:
            try:
                self.columns = pl.scan_parquet(path, glob=False).collect_schema().names()
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                raise ValueError(f"{path} is not a Parquet file ({error}). Write it again.") from error
        else:
            raise ValueError(f"{path}: expected a file that ends in {[*_TEXT, *_PARQUET]} (text also .gz).")

    @property
    def first_number(self) -> int:
        """Number of the first row: its line in a text file, 1 in a Parquet file."""
        return 1 + self._text.header_lines if self._text else 1

    def count_rows(self) -> int:
        """Number of rows, malformed ones included."""
        if self._text:
            return self._text.count_rows()
        return int(self._collect(pl.scan_parquet(self.path, glob=False).select(pl.len()), "its number of rows").item())

    def parts(self, size: int, run: Run) -> tuple[list["TableFile"], int]:
        """Cut the file into parts that are read alone, and count its rows.

        Args:
            size: about how many bytes of the file a part has.
            run: counts the lines of all parts at once, perhaps on many machines.
        """
        if self._text:
            slices, rows = self._text.slices(size, run)
            return [part_of(self, _text=part_of(self._text, within=within)) for within in slices], rows
        rows = self.count_rows()
        width = max(rows * size // self.path.stat().st_size, 1)
        return [
            part_of(self, _within=(first, min(first + width - 1, rows))) for first in range(1, rows + 1, width)
        ], rows

    def _collect(self, query: pl.LazyFrame, what: str) -> pl.DataFrame:
        try:
            return query.collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise ValueError(
                f"{self.path} is damaged: {what} cannot be read ({error}). Write the file again, or fetch it again."
            ) from error

    def chunks(
        self,
        chunk_rows: int,
        columns: Sequence[str],
        bad_rows: BadRows,
        workers: int = 1,
        within: tuple[int, int] | None = None,
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield frames of at most `chunk_rows` rows, each with its rows' numbers.

        Args:
            chunk_rows: rows read at a time.
            columns: columns to keep.
            bad_rows: what counts and limits the malformed rows of a text file.
            workers: threads that parse a text file ahead. Defaults to 1.
            within: numbers of the first and the last row that are needed: of a Parquet file no other rows are read, a
                text file is read up to the chunk of the last. Defaults to `None`, all rows.
        """
        if self._text:
            for frame, numbers in self._text.chunks(chunk_rows, dict.fromkeys(columns, "string"), bad_rows, workers):
                if within is not None and numbers[0] > within[1]:
                    return
                yield frame.with_columns(pl.all().str.strip_chars_start(" ")) if self._format.padded else frame, numbers
            return
        rows = self.count_rows()
        if not rows:
            raise ValueError(f"{self.path} has no rows. Write it again.")
        first, last = within or self._within or (1, rows)
        width = _SLICE_CHUNKS * chunk_rows
        for start in range(first - 1, last, width):
            query = pl.scan_parquet(self.path, glob=False).select(columns).slice(start, min(width, last - start))
            piece = self._collect(query, f"a row from {start + 1} to {min(start + width, last)}")
            for first in range(0, len(piece), chunk_rows):
                frame = piece.slice(first, chunk_rows)
                yield frame, np.arange(start + first + 1, start + first + 1 + len(frame))


def _open_text(path: Path) -> tuple[DelimitedFile, TextFormat]:
    text_format = TextFormat.of(path, DelimitedFile(path, ",", columns=["line"]).head())
    file = DelimitedFile(path, text_format.separator)
    if text_format.padded:
        file.columns = [name.lstrip(" ") for name in file.columns]
    return file, text_format
