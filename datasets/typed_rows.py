"""The rows of a user's table, in the types that its description asks for."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from .kinds import Column, LabelColumn
from .raw_files.shown import shown
from .table_description import TableDescription, nearest

_INPUT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class RowProblems:
    """What is wrong with the rows of a chunk, one problem a row.

    Args:
        raw: the chunk as it stands in the file.
        numbers: the numbers of its rows there.

    Example:
    >>> problems = RowProblems(pl.DataFrame({"price": ["7", "x"]}), np.array([2, 3]))
    >>> problems.report("price", np.array([False, True]), "a number")
    >>> problems.found
    {3: "column 'price': expected a number. Received: 'x'."}
    """

    def __init__(self, raw: pl.DataFrame, numbers: np.ndarray) -> None:
        self._raw, self._numbers = raw, numbers
        self.found: dict[int, str] = {}

    def report(self, column: str, wrong: np.ndarray, expected: str) -> None:
        """Note rows that do not fit.

        Args:
            column: name of the column in the file.
            wrong: a mask of the rows.
            expected: what was expected of them.
        """
        for row in np.flatnonzero(wrong).tolist():
            value = self._raw[column][row]
            received = shown(None if isinstance(value, str) and not value else value)
            problem = f"column {column!r}: expected {expected}. Received: {received}."
            self.found.setdefault(int(self._numbers[row]), problem)

    def fitting(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a frame of this chunk that have no problem."""
        return frame.filter(pl.Series(~np.isin(self._numbers, list(self.found)))) if self.found else frame


class TypedRows:
    """Types the rows of a table as its `TableDescription` says, from a text file's strings or Parquet's own types.

    A column whose name cannot name an input of a served model, such as `Price (EUR)`, is named after its feature.

    Args:
        description: what the columns are.

    Raises:
        ValueError: if two columns would be one input of a served model.

    Example:
    >>> rows = TypedRows(TableDescription.from_dict(
    ...     {"features": [{"name": "price", "kind": "numeric", "side": "ad", "raw": "Price (EUR)"}], "tasks": ["click"]}
    ... ))
    >>> raw = pl.DataFrame({"Price (EUR)": ["7.5"], "click": ["1"]})
    >>> rows(raw, RowProblems(raw, np.array([2])))
    {'price': shape: (1,)
    ...
    """

    def __init__(self, description: TableDescription) -> None:
        self.description = description
        self.columns: Sequence[Column] = [
            _with_missing(_served(column), description.missing) for column in description.columns
        ]
        self.sources = dict(zip(self.columns, (c.raw_name for c in description.columns), strict=True))
        taken: dict[str, str] = {}
        for column, source in self.sources.items():
            other = taken.setdefault(column.raw_name, source)
            if other != source:
                raise ValueError(
                    f"The columns {other!r} and {source!r} would both be the input {column.raw_name!r} of a served "
                    "model. Rename the feature that reads the first or the second."
                )

    def present(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Null where a label, a time or a split is missing; features are read as they stand in the file."""
        return raw.with_columns(pl.col(pl.String).replace(["", *self.description.missing], None))

    def __call__(self, raw: pl.DataFrame, problems: RowProblems) -> dict[str, pl.Series]:
        """The typed columns by the name of the model's raw column, and the labels by task.

        Args:
            raw: a chunk as it stands in the file.
            problems: takes the rows that do not fit.
        """
        present = self.present(raw.select(set(self.description.labels.values())))
        columns = {
            column.raw_name: column.typed(raw[source], functools.partial(problems.report, source))
            for column, source in self.sources.items()
        }
        for task, label in self.description.labels.items():
            columns[task] = LabelColumn(label).typed(present[label], functools.partial(problems.report, label))
        return columns


def check_present(path: Path, found: Sequence[str], needed: dict[str, str]) -> None:
    """Raise unless a file has the columns that are needed; says which is missing, and the names most like it.

    Args:
        path: the file.
        found: its columns.
        needed: column to what reads it.
    """
    for raw, owner in needed.items():
        if raw not in found:
            raise ValueError(
                f"{path} has no column {raw!r}, which {owner} reads.{nearest(raw, found)} Its columns: {list(found)}."
            )


def _served(column: Column) -> Column:
    return column if _INPUT_NAME.fullmatch(column.raw_name) else dataclasses.replace(column, raw=None)


def _with_missing(column: Column, missing: Sequence[str]) -> Column:
    """The column with its own and the table's spellings of missing values, for its transform and for serving."""
    own = getattr(column, "missing", None)  # a vector has none
    if own is None or not missing:
        return column
    both: dict[str, Any] = {"missing": tuple(dict.fromkeys([*own, *missing]))}
    return dataclasses.replace(column, **both)
