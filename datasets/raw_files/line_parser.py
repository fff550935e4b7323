"""Reads the lines of a CSV or TSV file as columns of strings and judges each line by itself."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

_NEWLINE = ord("\n")
_QUOTE = ord('"')
_RETURN = ord("\r")
# What a byte order mark begins with: polars drops one where its text begins, and nowhere else.
_MARK = 0xEF
# Bytes whose separators and quotes are located at a time: eight bytes are needed for each.
_STRETCH = 256 << 10
# Lines that Python's own lists hold at a time, at several times the size of their text.
_BATCH = 1000


class LineParser:
    r"""Split lines into fields: well-formed lines by polars, the others one by one.

    A field may be quoted with `"`: it then begins and ends with a quote, and the quotes inside it are doubled. A quote
    inside a field that does not begin with one stands for itself. polars reads some malformed lines in its own way, and
    fails on a whole chunk for one line that it cannot read. Therefore it gets only lines of which both readings are
    known to agree, so that what becomes of a line does not depend on the lines around it.

    Args:
        separator: one character of ASCII.
        columns: names of the columns; other numbers of fields are malformed.
        quoted: whether fields may be quoted.

    Example:
    >>> problems = {}
    >>> text = b'de,"a,b"\nfr\n"at" "ch",c\n'
    >>> frame, numbers = LineParser(",", ["country", "tags"], quoted=True).parse(text, np.array([1, 2, 3]), problems)
    >>> frame.rows(), numbers.tolist(), problems[2]
    ([('de', 'a,b')], [1], 'expected 2 comma-separated fields. Received: 1.')
    """

    def __init__(self, separator: str, columns: Sequence[str], quoted: bool) -> None:
        self.columns = list(columns)
        self._separator = separator
        self._quoted = quoted
        self._schema = dict.fromkeys(self.columns, pl.String)
        other = re.escape(separator)
        self._field = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|((?:[^"{other}][^{other}]*)?))(?:{other}|\Z)')

    def parse(self, text: bytes, numbers: np.ndarray, problems: dict[int, str]) -> tuple[pl.DataFrame, np.ndarray]:
        """A frame of strings, null or "" where missing, and the numbers of its lines.

        Args:
            text: whole lines, the last one ended too.
            numbers: their numbers in the file.
            problems: gets what is wrong with each line that does not fit, by its number.
        """
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        if self._is_simple(text, len(numbers)):
            frame = self._read_plain(text, len(numbers))
            if frame is not None:
                return frame, numbers
        doubtful = self._doubtful(text)
        frame = None if doubtful.any() else self._read_plain(text, len(numbers))
        if frame is not None:
            return frame, numbers
        return self._parse_mixed(text.split(b"\n")[:-1], doubtful, numbers, problems)

    def _parse_mixed(
        self, lines: list[bytes], doubtful: np.ndarray, numbers: np.ndarray, problems: dict[int, str]
    ) -> tuple[pl.DataFrame, np.ndarray]:
        """The doubtful lines one by one, the others together."""
        frame = self._read_plain(*self._select(lines, ~doubtful))
        if frame is None:  # some line is not UTF-8
            doubtful = doubtful | np.array([not line.isascii() for line in lines])
            frame = self._read_plain(*self._select(lines, ~doubtful))
        if frame is None:
            doubtful = np.ones(len(lines), dtype=bool)
            frame = pl.DataFrame(schema=self._schema)
        frames, kept = [frame], [numbers[~doubtful]]
        doubts = zip(numbers[doubtful].tolist(), itertools.compress(lines, doubtful), strict=True)
        for more, found in self._parse_lines(doubts, problems):
            frames.append(more)
            kept.append(np.array(found, dtype=numbers.dtype))
        together = np.concatenate(kept)
        order = np.argsort(together)
        return pl.concat(frames)[order], together[order]

    def _read_plain(self, text: bytes, lines: int) -> pl.DataFrame | None:
        """The lines as polars reads them, `None` if it cannot."""
        if not lines:
            return pl.DataFrame(schema=self._schema)
        try:
            frame = pl.read_csv(
                io.BytesIO(text),
                has_header=False,
                separator=self._separator,
                quote_char='"' if self._quoted else None,
                schema=self._schema,
            )
        except pl.exceptions.PolarsError:  # e.g. not UTF-8
            return None
        return frame if len(frame) == lines else None

    @staticmethod
    def _select(lines: list[bytes], mask: np.ndarray) -> tuple[bytes, int]:
        return b"".join(line + b"\n" for line in itertools.compress(lines, mask)), int(np.count_nonzero(mask))

    def _is_simple(self, text: bytes, lines: int) -> bool:
        """Whether counting shows that no line is malformed: without quotes, and if polars takes none for too long."""
        expected = len(self.columns) - 1
        if b"\r" in text or text[0] == _MARK or (self._quoted and b'"' in text):
            return False
        if not expected and (text.startswith(b"\n") or b"\n\n" in text):
            return False
        return count_byte(text, ord(self._separator)) == expected * lines

    def _doubtful(self, text: bytes) -> np.ndarray:
        """A mask of the lines that are malformed, or that could be read in two ways."""
        masks = []
        start = 0
        while start < len(text):
            stop = text.rfind(b"\n", start, start + _STRETCH) + 1 or text.index(b"\n", start) + 1
            masks.append(self._doubtful_lines(np.frombuffer(text, np.uint8, stop - start, start)))
            start = stop
        return np.concatenate(masks)

    def _doubtful_lines(self, array: np.ndarray) -> np.ndarray:
        separator = ord(self._separator)
        ends = np.flatnonzero(array == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1])
        doubtful = (starts == ends) | (array[starts] == _MARK)
        doubtful[np.searchsorted(ends, np.flatnonzero(array == _RETURN))] = True
        quotes = np.flatnonzero(array == _QUOTE) if self._quoted else np.empty(0, dtype="int64")
        quotes_before = np.searchsorted(quotes, starts)
        separators = np.flatnonzero(array == separator)
        line = np.searchsorted(ends, separators)
        outside = (np.searchsorted(quotes, separators) - quotes_before[line]) % 2 == 0
        doubtful |= np.bincount(line[outside], minlength=len(ends)) != len(self.columns) - 1
        line = np.searchsorted(ends, quotes)
        doubtful |= np.bincount(line, minlength=len(ends)) % 2 == 1
        # An opening quote stands after a separator, a closing one before it; a doubled quote closes and opens again.
        opens = (np.arange(len(quotes)) - quotes_before[line]) % 2 == 0
        beside = array[np.where(opens, quotes - 1, quotes + 1)]  # before the first byte: the last one, a line's end
        doubtful[line[(beside != separator) & (beside != _NEWLINE) & (beside != _QUOTE)]] = True
        return doubtful

    def _parse_lines(
        self, lines: Iterable[tuple[int, bytes]], problems: dict[int, str]
    ) -> Iterator[tuple[pl.DataFrame, list[int]]]:
        """Batches of the lines that fit, with their numbers."""
        lines = iter(lines)
        while batch := list(itertools.islice(lines, _BATCH)):
            rows, kept = [], []
            for number, line in batch:
                try:
                    rows.append(self._fields(line))
                    kept.append(number)
                except ValueError as error:
                    problems[number] = str(error)
            yield pl.DataFrame(rows, schema=self._schema, orient="row"), kept

    def _fields(self, line: bytes) -> list[str]:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"the line is not UTF-8 text ({error.reason} at byte {error.start}).") from error
        if "\r" in text:
            raise ValueError("the line is malformed (a carriage return inside the line).")
        fields = self.split(text) if text else []
        if len(fields) != len(self.columns):
            name = {"\t": "tab", ",": "comma"}.get(self._separator, repr(self._separator))
            raise ValueError(f"expected {len(self.columns)} {name}-separated fields. Received: {len(fields)}.")
        return fields

    def split(self, line: str) -> list[str]:
        """The fields of one line.

        Raises:
            ValueError: if a quoted field does not end, or more follows its end.
        """
        if not self._quoted or '"' not in line:
            return line.split(self._separator)
        fields = []
        place = 0
        while True:
            found = self._field.match(line, place)
            if found is None:
                raise ValueError(
                    f"the line is malformed (the quoted field that begins at character {place + 1} must end before a "
                    "separator or at the end of the line; a quote inside it is doubled)."
                )
            quoted, bare = found.groups()
            fields.append(bare if quoted is None else quoted.replace('""', '"'))
            place = found.end()
            if place == len(line) and not line.endswith(self._separator, found.start(), place):
                return fields


def count_byte(text: bytes, byte: int) -> int:
    """As `bytes.count`, several times faster and without holding up other threads."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == byte))
