"""CSV and TSV files, plain or gzip, streamed in checked chunks."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import polars as pl

from ..ordered_map import ordered_map
from .bad_rows import BadRows

Kind = Literal["string", "int64", "float32", "label"]

_BLOCK_BYTES = 4 << 20
_NEWLINE = ord("\n")
_QUOTE = ord('"')


class DelimitedFile:
    """A CSV or TSV file read in chunks of whole rows, in memory bounded by the chunk.

    A row is a line: quoted fields may hold separators but no line breaks. polars alone fills a short row
    with nulls without a word, so every row's fields are counted; a chunk without a fault is counted as a
    whole, and only a chunk with one is gone through line by line.

    Args:
        path: the file; gzip if its name ends in `.gz`.
        separator: one character.
        columns: names of all columns in order, or `None` if the first line holds them.
        quoted: whether fields may be quoted with `"`.

    Raises:
        ValueError: if the file is empty or its header lacks a column asked for.
    """

    def __init__(self, path: Path, separator: str, columns: Sequence[str] | None = None, quoted: bool = True) -> None:
        self.path = path
        self.separator = separator
        self.quoted = quoted
        self.header_lines = 0 if columns is not None else 1
        self.columns = list(columns) if columns is not None else self._read_header()

    def _open(self) -> IO[bytes] | gzip.GzipFile:
        return gzip.GzipFile(self.path) if self.path.suffix == ".gz" else self.path.open("rb")

    def _blocks(self) -> Iterator[bytes]:
        with self._open() as file:
            while True:
                try:
                    block = file.read(_BLOCK_BYTES)
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise ValueError(f"{self.path} is not a whole gzip file ({error}). Fetch it again.") from error
                if not block:
                    return
                yield block

    def _read_header(self) -> list[str]:
        line = next(self._blocks(), b"").split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").rstrip("\r")
        if not line:
            raise ValueError(f"{self.path} is empty: expected a header line and rows. Fetch the file again.")
        columns = next(csv.reader([line], delimiter=self.separator))
        if len(set(columns)) != len(columns):
            raise ValueError(f"{self.path}: the header repeats a column. Received: {columns}.")
        return columns

    def head(self) -> bytes:
        """The file's first bytes, as many as hold its header and, mostly, some rows."""
        return next(self._blocks(), b"")

    def count_rows(self) -> int:
        """Number of lines after the header, malformed ones included; reads the file but parses nothing."""
        lines, last = 0, b"\n"
        for block in self._blocks():
            lines += _count(block, _NEWLINE)
            last = block[-1:]
        return lines + (last != b"\n") - (self.header_lines if lines or last != b"\n" else 0)

    def _line_chunks(self, chunk_rows: int) -> Iterator[tuple[bytes, int]]:
        """Yield bytes of at most `chunk_rows` whole lines, each with its line count."""
        parts: list[bytes] = []
        missing = chunk_rows
        for block in self._blocks():
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

        def read(chunk: tuple[bytes, np.ndarray]) -> tuple[pl.DataFrame, np.ndarray, dict[int, str]]:
            text, numbers = chunk
            problems: dict[int, str] = {}
            frame, numbers = self._parse(text, numbers, problems)
            typed, keep = _convert(frame.select(*kinds), kinds, numbers, problems)
            if not keep.all():
                typed, numbers = typed.filter(pl.Series(keep)), numbers[keep]
            return typed, numbers, problems

        any_row = False
        for frame, numbers, problems in ordered_map(read, self._numbered_chunks(chunk_rows), workers):
            any_row = True
            bad_rows.add(self.path, sorted(problems.items()))
            if len(frame):
                yield frame, numbers
        if not any_row:
            raise ValueError(f"{self.path} has no rows. Fetch the file again.")

    def _numbered_chunks(self, chunk_rows: int) -> Iterator[tuple[bytes, np.ndarray]]:
        """The lines after the header, with their numbers."""
        first = 1
        for text, lines in self._line_chunks(chunk_rows):
            if first == 1 and self.header_lines:
                text, lines, first = text.split(b"\n", 1)[1], lines - 1, 2
            if lines:
                yield text, np.arange(first, first + lines)
            first += lines

    def _parse(self, text: bytes, numbers: np.ndarray, problems: dict[int, str]) -> tuple[pl.DataFrame, np.ndarray]:
        """A frame of strings, null or "" where missing; lines that do not fit go to `problems` and out of `numbers`."""
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        if b"\r" not in text and self._well_formed(text, len(numbers)):
            try:
                frame = pl.read_csv(
                    io.BytesIO(text),
                    has_header=False,
                    separator=self.separator,
                    quote_char='"' if self.quoted else None,
                    schema=dict.fromkeys(self.columns, pl.String),
                )
            except pl.exceptions.PolarsError:  # e.g. not UTF-8: the line-by-line path finds where
                frame = None
            if frame is not None and len(frame) == len(numbers):
                return frame, numbers
        return self._parse_lines(text, numbers, problems)

    def _well_formed(self, text: bytes, lines: int) -> bool:
        """Whether no line can be short; polars itself refuses long ones."""
        expected = len(self.columns) - 1
        if not (self.quoted and b'"' in text):
            return _count(text, ord(self.separator)) == expected * lines
        array = np.frombuffer(text, np.uint8)
        quotes = array == _QUOTE
        ends = np.flatnonzero(array == _NEWLINE)
        outside = (np.cumsum(quotes, dtype=np.int64) & 1) == 0
        if not outside[ends].all():
            return False
        separators = np.cumsum((array == ord(self.separator)) & outside, dtype=np.int64)[ends]
        return bool((np.diff(separators, prepend=0) == expected).all())

    def _parse_lines(
        self, text: bytes, numbers: np.ndarray, problems: dict[int, str]
    ) -> tuple[pl.DataFrame, np.ndarray]:
        rows, kept = [], []
        name = {"\t": "tab", ",": "comma"}.get(self.separator, repr(self.separator))
        for number, line in zip(numbers.tolist(), text.split(b"\n"), strict=False):
            try:
                fields = self._fields(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                problems[number] = f"the line is not UTF-8 text ({error.reason} at byte {error.start})."
                continue
            except csv.Error as error:
                problems[number] = f"the line is malformed ({error})."
                continue
            if len(fields) != len(self.columns):
                problems[number] = f"expected {len(self.columns)} {name}-separated fields. Received: {len(fields)}."
                continue
            rows.append(fields)
            kept.append(number)
        frame = pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row")
        return frame, np.array(kept, dtype=numbers.dtype)

    def _fields(self, line: str) -> list[str]:
        if "\r" in line:
            raise csv.Error("a carriage return inside the line")
        if not self.quoted:
            return line.split(self.separator)
        return next(csv.reader([line], delimiter=self.separator, strict=True), [""])


def _count(text: bytes, character: int) -> int:
    """As `bytes.count`, several times faster and without holding up other threads."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == character))


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
            received = strings[row] or ""
            problems.setdefault(int(numbers[row]), f"column {name!r}: expected {expected}. Received: {received!r}.")
            keep[row] = False
    return pl.DataFrame(typed), keep
