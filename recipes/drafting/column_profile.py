"""What the values of a table's columns look like."""

import functools
import math
from pathlib import Path

import numpy as np
import polars as pl

from ...datasets.raw_files.bad_rows import BadRows
from ...datasets.raw_files.table_file import TableFile
from ...reports.visible_text import visible_text
from .integer_shape import IntegerShape
from .name_words import LISTS, among
from .time_form import time_form

_EXAMPLES = 3
_SEPARATORS = ("|", ";", ",", " ")
_ALSO_IN_PROSE = (",", " ")
_EXAMPLE_LENGTH = 20
# In fewer rows, distinct values do not show that a column is an id of the row.
_ENOUGH = 100
# Logarithm of a probability of one in a billion, which is taken for impossible.
_CHANCE = math.log(1e-9)


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

    @functools.cached_property
    def time_form(self) -> str | None:
        """In what form the values are points in time, `None` if they are something else."""
        if self.is_list or not self.rows:
            return None
        if self._values.dtype in (pl.Date, pl.Datetime):
            return "dates"
        if not (self._values.dtype == pl.String or self._values.dtype.is_integer()):
            return None
        distinct = self._values.unique(maintain_order=True)
        return time_form(distinct.cast(pl.String), self._whole(distinct))

    @functools.cached_property
    def integer_shape(self) -> IntegerShape | None:
        """How the values are spread, `None` unless all are whole numbers of at least two values."""
        whole = self._whole(self._values) if self.is_number and self.distinct > 1 else None
        return None if whole is None else IntegerShape.of(whole)

    @property
    def is_readable(self) -> bool:
        """Whether a table of this type of values can be read: structs, durations, bytes and nested lists cannot."""
        dtype = self._values.dtype
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
        return not (inner.is_nested() or inner in (pl.Binary, pl.Duration, pl.Time, pl.Object))

    @property
    def has_leading_zeros(self) -> bool:
        """Whether some values begin with a zero that a number would lose, as codes do."""
        return self._values.dtype == pl.String and bool(self._values.str.contains(r"^0\d").any())

    @staticmethod
    def _whole(values: pl.Series) -> np.ndarray | None:
        """The values as int64, `None` if they are not whole numbers or too long for that."""
        whole = values.cast(pl.Int64, strict=False)
        if whole.null_count() and values.dtype == pl.String:  # e.g. 84.0
            numbers = values.cast(pl.Float64, strict=False)
            small = numbers.is_finite() & (numbers.abs() < 2**53) & (numbers == numbers.round())
            whole = pl.select(pl.when(small).then(numbers).otherwise(None)).to_series().cast(pl.Int64)
        return None if whole.null_count() else whole.to_numpy()

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

    @functools.cached_property
    def separator(self) -> str:
        """The separator that most values have, or nothing. Commas and spaces may be prose."""
        if not self.is_text:
            return ","
        names_a_list = among(self.name, LISTS)
        return next(
            (
                sign
                for sign in _SEPARATORS
                if self.share_with(sign) > 0.5
                and (names_a_list or sign not in _ALSO_IN_PROSE or (sign == "," and self.repeats_pieces(sign)))
            ),
            "",
        )

    def share_with(self, text: str) -> float:
        """Share of the values that contain a text."""
        return int(self._values.cast(pl.String).str.contains(text, literal=True).sum()) / max(self.rows, 1)

    def share_matching(self, pattern: str) -> float:
        """Share of the values that a regular expression matches; items of lists are joined by commas."""
        inner = getattr(self._values.dtype, "inner", None)
        if not self.is_text and not (self.is_list and inner == pl.String):
            return 0.0
        text = self._values.cast(pl.List(pl.String)).list.join(",") if self.is_list else self._values.cast(pl.String)
        return int(text.str.contains(pattern).sum()) / max(self.rows, 1)

    def magnitude(self, share: float) -> float | None:
        """The size that this share of the numbers does not exceed, signs left out; `None` for other values."""
        if self.is_list or self._numbers is None:
            return None
        return self._numbers.abs().quantile(share)

    def repeats_pieces(self, separator: str) -> bool:
        """Whether the values are made of pieces that come back in other values, as tags do and prose does not."""
        pieces = self._values.cast(pl.String).str.split(separator).explode().n_unique()
        return pieces < self.distinct / 2

    def only_where(self, other: "ColumnProfile") -> bool:
        """Whether this binary column is 1 only in rows where the other one is."""
        here, there = (ColumnProfile._flags(column._all) for column in (self, other))
        return not (here & ~there).any()

    def equals(self, other: "ColumnProfile") -> bool:
        """Whether two binary columns say the same, or the opposite, in every row."""
        here, there = (ColumnProfile._flags(column._all) for column in (self, other))
        return bool((here == there).all() or (here != there).all())

    def tells(self, label: "ColumnProfile") -> bool:
        """Whether the values are there, or are not zero, in rows of a label only, and too often for chance.

        What is known only after a click is missing or zero in the rows without one.
        """
        if self.is_list or self.rows == 0:
            return False
        there = self._all.is_not_null()
        if self._numbers is not None:
            there &= (self._all.cast(pl.String).str.to_lowercase() != "false").fill_null(False)
            there &= (self._all.cast(pl.Float64, strict=False) != 0).fill_null(True)
        positive = ColumnProfile._flags(label._all)
        known = int(there.sum())
        if known in (0, len(there)) or (there & ~positive).any():
            return False
        return known * math.log(int(positive.sum()) / len(positive)) < _CHANCE

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
        shown = [visible_text(" ".join(str(value).split()))[:_EXAMPLE_LENGTH] for value in examples[:_EXAMPLES]]
        counted = f"{self.rows:,} rows" if self.is_list else f"{self.distinct:,} values in {self.rows:,} rows"
        return f"{counted}{share}, e.g. {', '.join(shown)}"

    def __str__(self) -> str:
        return f"{visible_text(self.name)} ({self.summary})"


def profile_columns(path: Path, rows: int, bad_rows: BadRows | None = None) -> list[ColumnProfile]:
    """A profile of every column, from a table's first rows; malformed ones among them are passed over.

    Args:
        path: the table.
        rows: how many rows to look at.
        bad_rows: what counts the malformed rows, or `None`. Defaults to `None`.

    Raises:
        ValueError: if most rows are malformed; says what is wrong with the first.
    """
    file = TableFile(path)
    passed_over = bad_rows or BadRows(rows)
    # The header counts as a row of a text file's first chunk.
    frame, _ = next(file.chunks(rows + 1, file.columns, passed_over), (None, None))
    if frame is None or passed_over.count > len(frame):
        # Reads the rows again, to raise what is wrong with the first that is malformed.
        next(file.chunks(rows + 1, file.columns, BadRows(0)), None)
        raise ValueError(f"{path}: none of the first {rows:,} rows can be read. Mend the file.")
    return [ColumnProfile(name, frame[name].head(rows)) for name in file.columns]
