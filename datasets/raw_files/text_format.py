"""How the fields of a text file are separated, seen from its first lines."""

import csv
import dataclasses
import re
import shlex
from collections import Counter
from pathlib import Path

_LINES = 100
_BYTES = 1 << 18
_SEPARATORS = (",", "\t", ";", "|", "\x01")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_LIBSVM = re.compile(r"[-+]?[\d.]+(\s+qid:\d+)?(\s+\d+:[-+\d.eE]+)+\s*")


@dataclasses.dataclass(frozen=True)
class TextFormat:
    r"""The separator of a table in a text file, and whether a blank follows it.

    The separator is the one of `,`, tab, `;`, `|` and Hive's `\x01` that cuts most of the first lines into as many
    fields as the header; a single blank where there is none of them. Files that are not tables of named columns are
    refused: other encodings than UTF-8, files without a header, libsvm, and columns aligned by blanks. The error says
    what was seen and how to mend it.

    Args:
        separator: one character.
        padded: whether a blank follows every separator, as in `39, State-gov, 77516`. It belongs to no value.

    Example:
    >>> TextFormat.of(Path("t.csv"), b"age, job\n39, clerk\n")
    TextFormat(separator=',', padded=True)
    """

    separator: str
    padded: bool = False

    @classmethod
    def of(cls, path: Path, head: bytes) -> "TextFormat":
        """The format of a file.

        Args:
            path: the file, for messages.
            head: its first bytes, as many as hold some lines; at least the header.

        Raises:
            ValueError: if it is no table that can be read; says how to mend it.
        """
        lines = _lines(path, head)
        header, rows = lines[0], lines[1:]
        if len(lines) > 1 and sum(_LIBSVM.fullmatch(line) is not None for line in lines) > 0.9 * len(lines):
            raise ValueError(
                f"{path} looks like libsvm (label index:value …). Received: {_shown(header)}. A table with a column "
                "for each feature is needed, e.g. `x, y = sklearn.datasets.load_svmlight_file(FILE)`, then "
                '`polars.DataFrame(x.toarray()).with_columns(label=y).write_parquet("table.parquet")`.'
            )
        separator = _separator(path, header, rows)
        fields = [_fields(line, separator) for line in lines]
        padded = separator in ",;|" and _is_padded(fields)
        names = [name.strip() for name in fields[0]]
        _check_header(path, names, separator)
        return cls(separator, padded)


def _lines(path: Path, head: bytes) -> list[str]:
    """The first lines, decoded; without the last one, which may be cut off."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or 10 * head.count(b"\0") > len(head):
        raise ValueError(
            f"{path} is not UTF-8 text: it looks like UTF-16, or it is not text. Received: {head[:20]!r}. Convert it, "
            f"e.g. `{_cat(path)} | iconv -f UTF-16 -t UTF-8 > utf8.csv`."
        )
    ends = rb"\r\n|\n|\r"
    whole = len(head) <= _BYTES
    raw = re.split(ends, head.removeprefix(b"\xef\xbb\xbf")[:_BYTES])
    raw = re.split(ends, head, maxsplit=1)[:1] if len(raw) == 1 else raw if whole else raw[:-1]
    raw = [line for line in raw if line][:_LINES]
    wrong = [line for line in raw if not _is_utf8(line)]
    # A row that is broken among good ones is a bad row; its line is named when the rows are read.
    if wrong and (wrong[0] is raw[0] or 2 * len(wrong) > sum(not line.isascii() for line in raw)):
        number = raw.index(wrong[0]) + 1
        raise ValueError(
            f"{path} is not UTF-8 text: line {number} holds {_not_ascii(wrong[0])!r}, in Latin-1 "
            f"{_not_ascii(wrong[0]).decode('latin-1')!r}. If that is the right text, convert the file: "
            f"`{_cat(path)} | iconv -f LATIN1 -t UTF-8 > utf8.csv`."
        )
    return [line.decode("utf-8", errors="replace") for line in raw] or [""]


def _separator(path: Path, header: str, rows: list[str]) -> str:
    cut = {sign: len(_fields(header, sign)) for sign in _SEPARATORS}
    fitting = {
        sign: sum(len(_fields(row, sign)) == fields for row in rows) for sign, fields in cut.items() if fields > 1
    }
    if fitting:
        return max(fitting, key=lambda sign: (fitting[sign], cut[sign]))
    if "::" in header:
        raise ValueError(
            f"{path}: the fields are separated by '::'. Received: {_shown(header)}. A separator of one character is "
            f"needed, e.g. `{_cat(path)} | sed 's/::/\\t/g' > table.tsv`."
        )
    counts = Counter(len(line.split()) for line in (header, *rows))
    if len(counts) > 1 or len(header.split()) < 2 or not rows:
        return ","  # one column
    if all(len(line.split(" ")) == len(header.split()) for line in (header, *rows)):
        return " "
    raise ValueError(
        f"{path}: the columns are separated by runs of blanks. Received: {_shown(header)}. One separator between two "
        f"fields is needed, e.g. `{_cat(path)} | sed -E 's/^ +| +$//g; s/[ \\t]+/\\t/g' > table.tsv`."
    )


def _is_padded(fields: list[list[str]]) -> bool:
    """Whether a blank stands before every field but the first, in the rows (a header may have been added later)."""
    rest = [field for row in fields[1:] or fields for field in row[1:]]
    return bool(rest) and all(field.startswith(" ") for field in rest)


def _check_header(path: Path, names: list[str], separator: str) -> None:
    """Raise if the first line looks like a row: numbers, repeated or empty fields where names should be."""
    numbers = [name for name in names if _NUMBER.fullmatch(name)]
    empty = sum(not name for name in names[1:])  # pandas leaves its index without a name
    repeated = len(names) - len(set(names)) - max(empty - 1, 0)
    if not numbers or _counts_up(numbers):
        return
    few = len(numbers) + empty + repeated < max(2, len(names) / 4) and len(names) > 3
    if few and all(number.isdigit() for number in numbers):
        return
    line = separator.join([*names[:2], "…"] if len(names) > 2 else names)
    shown = {"\t": "\\t"}.get(separator, separator)
    example = shown.join([*(f"name{number}" for number in range(1, min(len(names), 3) + 1)), *["…"][: len(names) - 3]])
    raise ValueError(
        f"{path} has no header: its first line looks like a row. Received: {_shown(line)}. A line with the names of "
        f"its {len(names)} columns is needed above it, e.g. "
        f"`(printf '{example}\\n'; {_cat(path)}) > with_header.csv`."
    )


def _counts_up(numbers: list[str]) -> bool:
    """Whether numbers are names after all: 0, 1, 2 … of pandas and of vectors, or years."""
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
        return False
    values = [int(number) for number in numbers]
    return values == list(range(values[0], values[0] + len(values)))


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:  # a field longer than the reader takes
        return line.split(separator)


def _cat(path: Path) -> str:
    """The command that writes the file's text."""
    return f"{'gzip -dc' if path.suffix == '.gz' else 'cat'} {shlex.quote(path.name)}"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _not_ascii(line: bytes) -> bytes:
    """The first characters that are not ASCII, with what stands around them."""
    place = next(number for number, byte in enumerate(line) if byte > 127)
    return line[max(place - 10, 0) : place + 10]


def _shown(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:60]}…")
