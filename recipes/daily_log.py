"""A dataset as a log with a folder a day, and its ids as kinds that differ in what they do with new tokens."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from ..datasets import CategoricalColumn, Dataset, GrowingColumn, HashedColumn, TableDescription
from ..datasets.kinds import Column
from ..files import whole_folder

IDS = ("frozen", "growing", "hashed")
_FIRST_DAY = datetime.date(2024, 1, 1)


def write_daily_log(dataset: Dataset, day: str, folder: Path, chunk_rows: int, max_bad_rows: int = 0) -> None:
    """Write a dataset's rows as Parquet, a folder a day, unless that was done before.

    Args:
        dataset: the dataset.
        day: its column of days: dates as integers such as 20220408, or days counted from 0.
        folder: the folder to write.
        chunk_rows: rows read at a time; each chunk adds a file to the days that it has rows of.
        max_bad_rows: malformed rows to skip before giving up. Defaults to 0.
    """
    if folder.is_dir():
        return
    with whole_folder(folder) as work:
        for number, frame in enumerate(dataset.chunks(chunk_rows, max_bad_rows)):
            for (value,), rows in frame.partition_by(day, maintain_order=True, as_dict=True).items():
                of_day = work / f"day={_date(int(value))}"
                of_day.mkdir(exist_ok=True)
                rows.drop("split").write_parquet(of_day / f"{number:06d}.parquet")


def _date(value: int) -> datetime.date:
    if value < 1_000_000:
        return _FIRST_DAY + datetime.timedelta(value)
    return datetime.datetime.strptime(str(value), "%Y%m%d").date()


def describe(dataset: Dataset) -> TableDescription:
    """The description of the log that `write_daily_log` makes of a dataset."""
    labels = {task.name: task.name for task in dataset.tasks}
    return TableDescription(tuple(dataset.columns), tuple(dataset.tasks), labels)


def with_ids(description: TableDescription, ids: Sequence[str], how: str, capacity: int) -> TableDescription:
    """The description with another kind for some id columns.

    Args:
        description: what the columns are.
        ids: names of `categorical` or `growing` columns.
        how: `"frozen"` (a vocabulary of the rows that the transforms are fitted to), `"growing"` or `"hashed"`.
        capacity: number of tokens of a growing column, and of buckets of a hashed one. A column that is described as
            growing keeps its own arguments in `"growing"`.

    Raises:
        ValueError: if there is no such column, or it is of another kind.

    Example:

    >>> described = TableDescription.from_dict(
    ...     {"features": [{"name": "ad_id", "kind": "categorical", "side": "ad"}], "tasks": ["click"]}
    ... )
    >>> with_ids(described, ["ad_id"], "growing", capacity=50).columns[0].capacity
    50
    """
    names = [column.name for column in description.columns]
    unknown = [name for name in ids if name not in names]
    if unknown:
        raise ValueError(f"There are no columns {unknown} to take as ids. Features of the description: {names}.")
    make: Callable[[Column, int], Column] = {"frozen": _frozen, "growing": _growing, "hashed": _hashed}[how]
    columns = (make(column, capacity) if column.name in ids else column for column in description.columns)
    return dataclasses.replace(description, columns=tuple(columns))


def _checked(column: Column) -> CategoricalColumn | GrowingColumn:
    if isinstance(column, GrowingColumn):
        return column
    if not isinstance(column, CategoricalColumn) or column.divisor != 1 or column.modulo is not None:
        raise ValueError(
            f"Ids must be `categorical` or `growing` columns, without divisor or modulo. Received: {column}."
        )
    return column


def _frozen(column: Column, capacity: int) -> Column:
    own = _checked(column)
    if isinstance(own, CategoricalColumn):
        return own
    return CategoricalColumn(own.name, own.side, own.raw, own.dtype, own.min_count, missing=own.missing)


def _growing(column: Column, capacity: int) -> Column:
    own = _checked(column)
    if isinstance(own, GrowingColumn):
        return own
    return GrowingColumn(
        own.name,
        own.side,
        own.raw,
        own.dtype,
        own.missing,
        capacity=capacity,
        min_count=own.min_count,
        eviction="lfu",
    )


def _hashed(column: Column, capacity: int) -> Column:
    own = _checked(column)
    return HashedColumn(own.name, own.side, own.raw, own.dtype, own.missing, buckets=capacity)
