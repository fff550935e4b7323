"""What the values of a table's columns look like."""

import functools
from pathlib import Path

import polars as pl

from ..datasets.raw_files.bad_rows import BadRows
from ..datasets.raw_files.table_file import TableFile

_EXAMPLES = 3
_EXAMPLE_LENGTH = 20
# Among fewer rows, values of their own prove nothing.
_ENOUGH = 100


class ColumnProfile:
    """What one column's values look like, in the first rows of a table.

    Args:
        name: name of the column.
        values: its values; strings as in a text file, or a Parquet file's own type.

    Example:
    >>> profile = ColumnProfile("clicked", pl.Series(["0", "1", "", "0"]))
    >>> profile.is_binary, profile.missing, str(profile)
    (True, 1, 'clicked (2 values in 3 rows, 25 % missing, e.g. 0, 1)')
    """

    def __init__(self, name: str, values: pl.Series) -> None:
        self.name = name
        text = values.dtype == pl.String
        self._all = values.replace("", None) if text else values
        self._values = self._all.drop_nulls()
        self.is_list = values.dtype.base_type() in (pl.List, pl.Array)
        self.is_text = values.dtype in (pl.String, pl.Categorical, pl.Enum)
        self.rows = len(self._values)
        self.missing = len(values) - self.rows
        self.distinct = self._values.n_unique() if self.rows and not self.is_list else self.rows
        self.is_time = values.dtype.is_temporal() or self._reads_like_a_date()

    @functools.cached_property
    def _numbers(self) -> pl.Series | None:
        """The values as numbers, `None` unless all of them are."""
        inner = self._values.explode().drop_nulls() if self.is_list else self._values
        if inner.dtype == pl.String:
            inner = inner.str.to_lowercase().replace({"true": "1", "false": "0"})
        elif not (inner.dtype.is_numeric() or inner.dtype == pl.Boolean):
            return None
        numbers = inner.cast(pl.Float64, strict=False)
        return None if numbers.null_count() else numbers

    def _reads_like_a_date(self) -> bool:
        if self._values.dtype != pl.String or not self.rows:
            return False
        return bool(self._values.str.contains(r"^\d{4}-\d\d-\d\d([T ]|$)").all())

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return not self.is_list and self._numbers is not None

    @property
    def is_fraction(self) -> bool:
        """Whether the values are numbers and not all of them whole."""
        return self._numbers is not None and not (self._numbers == self._numbers.round()).all()

    @property
    def is_binary(self) -> bool:
        """Whether the values are 0 and 1, both present."""
        return self.is_number and self._numbers is not None and set(self._numbers.unique()) == {0.0, 1.0}

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return not self.is_list and self.distinct == self.rows >= _ENOUGH and not self.missing

    @property
    def has_one_length(self) -> bool:
        """Whether all lists are of one length."""
        return self._lengths("").n_unique() == 1

    def _lengths(self, separator: str) -> pl.Series:
        if not self.is_list:
            return self._values.cast(pl.String).str.split(separator).list.len()
        return self._values.list.len() if self._values.dtype == pl.List else self._values.arr.len()

    def pieces(self, separator: str) -> int:
        """How many pieces all but the longest tenth of the values have."""
        return max(int(self._lengths(separator).quantile(0.9) or 1), 1)

    def share_with(self, text: str) -> float:
        """Share of the values that contain a text."""
        return int(self._values.cast(pl.String).str.contains(text, literal=True).sum()) / max(self.rows, 1)

    def repeats_pieces(self, separator: str) -> bool:
        """Whether the values are made of pieces that come back in other values, as tags do and prose does not."""
        pieces = self._values.cast(pl.String).str.split(separator).explode().n_unique()
        return pieces < self.distinct / 2

    def only_where(self, other: "ColumnProfile") -> bool:
        """Whether this binary column is 1 only in rows where the other one is."""
        here, there = (ColumnProfile._flags(column._all) for column in (self, other))
        return not (here & ~there).any()

    @staticmethod
    def _flags(values: pl.Series) -> pl.Series:
        if values.dtype == pl.String:
            values = values.str.to_lowercase().replace({"true": "1", "false": "0"})
        return (values.cast(pl.Float64, strict=False) == 1).fill_null(False)

    @property
    def summary(self) -> str:
        """The number of values and some of them, on one line."""
        share = f", {round(100 * self.missing / (self.rows + self.missing))} % missing" if self.missing else ""
        first = self._values.head(1000)
        examples = first.to_list() if self.is_list else first.unique(maintain_order=True).to_list()
        shown = [" ".join(str(value).split())[:_EXAMPLE_LENGTH] for value in examples[:_EXAMPLES]]
        counted = f"{self.rows:,} rows" if self.is_list else f"{self.distinct:,} values in {self.rows:,} rows"
        return f"{counted}{share}, e.g. {', '.join(shown)}"

    def __str__(self) -> str:
        return f"{self.name} ({self.summary})"


def profile_columns(path: Path, rows: int) -> list[ColumnProfile]:
    """A profile of every column, from a table's first rows; malformed ones among them are passed over.

    Args:
        path: the table.
        rows: how many rows to look at.
    """
    file = TableFile(path)
    # The header counts as a row of a text file's first chunk.
    frame, _ = next(file.chunks(rows + 1, file.columns, BadRows(rows)), (None, None))
    if frame is None:
        raise ValueError(f"{path}: none of the first {rows:,} rows has the {len(file.columns)} fields of the header.")
    return [ColumnProfile(name, frame[name].head(rows)) for name in file.columns]
