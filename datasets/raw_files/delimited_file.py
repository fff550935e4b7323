"""CSV and TSV files, plain or gzip, streamed in checked chunks."""

import gzip
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import polars as pl

from ..ordered_map import ordered_map
from .bad_rows import BadRows
from .file_slice import FileSlice, Run
from .line_parser import LineParser, count_byte
from .shown import shown

Kind = Literal["string", "int64", "float32", "label"]

_BLOCK_BYTES = 4 << 20
_LONGEST_HEADER = 64 << 20
_NEWLINE = ord("\n")
_MARK = "\ufeff".encode()
_GZIP = b"\x1f\x8b"
_OTHER_KINDS = {
    rb"PK\x03\x04": "a ZIP archive or an Excel file",
    rb"BZh\d": "bzip2",
    rb"\xfd7zXZ": "xz",
    rb"\x28\xb5\x2f\xfd": "Zstandard",
    rb"PAR1": "a Parquet file",
    rb"\xff\xfe|\xfe\xff": "UTF-16 text",
}


class DelimitedFile:
    """A CSV or TSV file read in chunks of whole rows, in memory bounded by the chunk.

    A row is a line: quoted fields may hold separators but no line breaks (see `LineParser`). Lines end in a line feed,
    in a carriage return and a line feed, or, where the file has no line feeds, in a carriage return. A column without a
    name, such as the index that pandas writes, is named by its place: `column_1`.

    Args:
        path: the file, plain or gzip; its name does not matter.
        separator: one character.
        columns: names of all columns in order, or `None` if the first line holds them.
        quoted: whether fields may be quoted with `"`.
        within: the lines that are read, one of `slices`. Defaults to `None`, all of them.

    Raises:
        ValueError: if the file is empty, no text, or its header cannot be read or repeats a column.
    """

    def __init__(
        self,
        path: Path,
        separator: str,
        columns: Sequence[str] | None = None,
        quoted: bool = True,
        within: FileSlice | None = None,
    ) -> None:
        self.path = path
        self.separator = separator
        self.quoted = quoted
        self.within = within
        self.header_lines = 0 if columns is not None else 1
        self.columns = list(columns) if columns is not None else self._read_header()

    def _open(self) -> IO[bytes] | gzip.GzipFile:
        with self.path.open("rb") as file:
            start = file.read(8)
        for other, kind in _OTHER_KINDS.items():
            if re.match(other, start):
                raise ValueError(f"{self.path} is {kind}, not text in UTF-8. Save the table as CSV in UTF-8.")
        return gzip.GzipFile(self.path) if start.startswith(_GZIP) else self.path.open("rb")

    def _blocks(self, within: FileSlice | None = None) -> Iterator[bytes]:
        start, stop = (within.start, within.stop) if within else (0, None)
        with self._open() as file:
            # Lines are found at line feeds, so a slice that does not begin the file lies in a file that has them.
            returns_alone = None if start == 0 else False
            file.seek(start)
            while True:
                try:
                    block = file.read(_BLOCK_BYTES if stop is None else min(_BLOCK_BYTES, stop - file.tell()))
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise ValueError(f"{self.path} is not a whole gzip file ({error}). Fetch it again.") from error
                if not block:
                    return
                if returns_alone is None:
                    returns_alone = b"\n" not in block and b"\r" in block[:-1]
                yield block.replace(b"\r", b"\n") if returns_alone else block

    def _read_header(self) -> list[str]:
        try:
            line = self._first_line().decode("utf-8-sig").rstrip("\r")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: the header is not UTF-8 text ({error}). Save the file as UTF-8.") from error
        if not line:
            raise ValueError(f"{self.path} is empty: expected a header line and rows. Fetch the file again.")
        try:
            columns = LineParser(self.separator, [], self.quoted).split(line)
        except ValueError as error:
            raise ValueError(f"{self.path}: the header is malformed: {error}") from error
        columns = [name if name.strip() else f"column_{place}" for place, name in enumerate(columns, 1)]
        repeated = [name for name, count in Counter(columns).items() if count > 1]
        if repeated:
            raise ValueError(f"{self.path}: the header repeats a column: {repeated}. Give each a name of its own.")
        return columns

    def _first_line(self) -> bytes:
        parts: list[bytes] = []
        read = 0
        for block in self._blocks():
            line, end, _ = block.partition(b"\n")
            parts.append(line)
            read += len(line)
            if end:
                break
            if read > _LONGEST_HEADER:
                raise ValueError(
                    f"{self.path} has no line break in its first {_LONGEST_HEADER:,} bytes: expected one row per line."
                )
        return b"".join(parts)

    def head(self) -> bytes:
        """The file's first bytes, as many as hold its header and, mostly, some rows."""
        return next(self._blocks(), b"")

    def count_rows(self) -> int:
        """Number of lines after the header, malformed ones included; reads the file but parses nothing."""
        return max(self._count_lines(None) - self.header_lines, 0)

    def _count_lines(self, within: FileSlice | None) -> int:
        lines, last = 0, b"\n"
        for block in self._blocks(within):
            lines += count_byte(block, _NEWLINE)
            last = block[-1:]
        return lines + (last != b"\n")

    def slices(self, size: int, run: Run) -> tuple[list[FileSlice], int]:
        """Cut the file into slices of whole lines, and count its rows.

        A gzip file is one slice, since it can only be read from its start.

        Args:
            size: about how many bytes a slice has.
            run: counts the lines of all slices at once, perhaps on many machines.
        """
        with self._open() as file:
            length = None if isinstance(file, gzip.GzipFile) else file.seek(0, 2)
        places = [0, None] if length is None else [*range(0, length, size), length]
        slices, first = [], 1
        for start, stop, lines in run(self._whole_lines, list(itertools.pairwise(places))):
            if lines:
                slices.append(FileSlice(start, stop, first))
            first += lines
        return slices, max(first - 1 - self.header_lines, 0)

    def _whole_lines(self, places: tuple[int, int | None]) -> tuple[int, int | None, int]:
        """Where the lines that begin between two places begin and end, and how many there are."""
        first, last = places
        if last is None:
            return 0, None, self._count_lines(None)
        with self.path.open("rb") as file:
            start, stop = _line_start(file, first), _line_start(file, last)
        return start, stop, self._count_lines(FileSlice(start, stop, 1)) if start < stop else 0

    def _line_chunks(self, chunk_rows: int) -> Iterator[tuple[bytes, int]]:
        """Yield bytes of at most `chunk_rows` whole lines, each with its line count."""
        parts: list[bytes] = []
        missing = chunk_rows
        for block in self._blocks(self.within):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
            start = used = 0
            while len(ends) - used >= missing:
                stop = int(ends[used + missing - 1])
                yield b"".join([*parts, block[start:stop]]), chunk_rows
                parts, start, used, missing = [], stop, used + missing, chunk_rows
            parts.append(block[start:])
            missing -= len(ends) - used
        rest = b"".join(parts)
        if rest:
            rest += b"" if rest.endswith(b"\n") else b"\n"
            yield rest, rest.count(b"\n")

    def chunks(
        self, chunk_rows: int, kinds: Mapping[str, Kind], bad_rows: BadRows, workers: int = 1
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield typed frames of at most `chunk_rows` rows, each with its rows' 1-based line numbers.

        Args:
            chunk_rows: lines read at a time.
            kinds: columns to keep and how to read them: `"string"` (missing is `""`), `"int64"` (must be
                present), `"float32"` (missing is null) or `"label"` (0 or 1, as Float32).
            bad_rows: what counts and limits the rows that do not fit.
            workers: threads that parse chunks ahead. Defaults to 1, which reads only what is asked for.
        """
        if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, int) or chunk_rows < 1:
            raise ValueError(f"`chunk_rows` must be an integer of at least 1. Received: {chunk_rows!r}.")
        absent = [name for name in kinds if name not in self.columns]
        if absent:
            raise ValueError(
                f"{self.path}: the header lacks {absent}. Received: {self.columns}. Pass the official file."
            )

        parser = LineParser(self.separator, self.columns, self.quoted)

        def read(chunk: tuple[bytes, np.ndarray]) -> tuple[pl.DataFrame, np.ndarray, dict[int, str]]:
            text, numbers = chunk
            problems: dict[int, str] = {}
            frame, numbers = parser.parse(text, numbers, problems)
            typed, keep = _convert(frame.select(*kinds), kinds, numbers, problems)
            if not keep.all():
                typed, numbers = typed.filter(pl.Series(keep)), numbers[keep]
            return typed, numbers, problems

        any_row = self.within is not None
        for frame, numbers, problems in ordered_map(read, self._numbered_chunks(chunk_rows), workers):
            any_row = True
            bad_rows.add(self.path, sorted(problems.items()))
            if len(frame):
                yield frame, numbers
        if not any_row:
            raise ValueError(f"{self.path} has no rows. Fetch the file again.")

    def _numbered_chunks(self, chunk_rows: int) -> Iterator[tuple[bytes, np.ndarray]]:
        """The lines after the header, with their numbers."""
        first = self.within.first_line if self.within else 1
        for text, lines in self._line_chunks(chunk_rows):
            if first == 1 and self.header_lines:
                text, lines, first = text.split(b"\n", 1)[1], lines - 1, 2
            elif first == 1:
                text = text.removeprefix(_MARK)
            if lines:
                yield text, np.arange(first, first + lines)
            first += lines


def _line_start(file: IO[bytes], place: int) -> int:
    """Where the first line begins that does not begin before a place."""
    if place > 0:
        file.seek(place - 1)
        file.readline()
        return file.tell()
    return 0


def _convert(
    frame: pl.DataFrame, kinds: Mapping[str, Kind], numbers: np.ndarray, problems: dict[int, str]
) -> tuple[pl.DataFrame, np.ndarray]:
    """The columns in their types, and which rows could be converted; the others go to `problems`."""
    keep = np.ones(len(frame), dtype=bool)
    typed = []
    for name, kind in kinds.items():
        strings = frame[name]
        if kind == "string":
            typed.append(strings.fill_null("") if strings.null_count() else strings)
            continue
        values = strings.cast(pl.Int64 if kind == "int64" else pl.Float32, strict=False)
        typed.append(values)
        if kind == "label":
            wrong = ~values.is_in([0.0, 1.0]).fill_null(False)
        elif kind == "int64":
            wrong = values.is_null()
        elif values.null_count() > strings.null_count():
            wrong = values.is_null() & (strings.fill_null("") != "")
        else:  # every number that is missing was missing in the file
            continue
        for row in wrong.arg_true().to_list():
            expected = {"int64": "an integer", "float32": "a number or nothing", "label": "0 or 1"}[kind]
            received = shown(strings[row] or "")
            problems.setdefault(int(numbers[row]), f"column {name!r}: expected {expected}. Received: {received}.")
            keep[row] = False
    return pl.DataFrame(typed), keep
