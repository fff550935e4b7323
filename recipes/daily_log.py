"""A dataset as a log with a folder a day, and its ids as kinds that differ in what they do with new tokens."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from ..datasets import (
    CategoricalColumn,
    CriteoTerabyte,
    Dataset,
    GrowingColumn,
    HashedColumn,
    HashedSequenceColumn,
    KuaiRandPure,
    SequenceColumn,
    SyntheticAds,
    TableDescription,
)
from ..datasets.kinds import Column
from ..files import whole_folder

IDS = ("frozen", "growing", "hashed")
_FIRST_DAY = datetime.date(2024, 1, 1)


def _date(value: int) -> str:
    if value < 1_000_000:
        return f"day={_FIRST_DAY + datetime.timedelta(value)}"
    return f"day={datetime.datetime.strptime(str(value), '%Y%m%d').date()}"


@dataclasses.dataclass(frozen=True)
class DailyDataset:
    """A dataset that the recipe knows as a log of days.

    Args:
        name: of the log, in run folders and tables.
        dataset: the dataset.
        day: its column of days.
        ids: its id columns.
        user: column that says whose rows they are; `None` where there is none, and rows are taken as independent.
        folder_name: name of a day's folder, made of the column's value. Defaults to the date, as `day=2022-04-08`.
    """

    name: str
    dataset: Dataset
    day: str
    ids: tuple[str, ...]
    user: str | None
    folder_name: Callable[[int], str] = _date


def generated_log(rows: int, seed: int) -> DailyDataset:
    """The generated log of ads.

    Args:
        rows: impressions to generate.
        seed: of what is drawn.
    """
    return DailyDataset("synthetic", SyntheticAds(rows, seed, 4000, 400), "day", ("user_id", "ad_id"), "user")


def official_log(folder: Path) -> DailyDataset:
    """The log whose official files are in a folder.

    Args:
        folder: with KuaiRand-Pure's files, or Criteo's terabyte day files or some of them.

    Raises:
        FileNotFoundError: if the folder has the files of neither; says what was expected.
    """
    try:
        criteo = CriteoTerabyte(folder)
    except FileNotFoundError as error:
        try:
            kuairand = KuaiRandPure(folder)
        except FileNotFoundError as other:
            raise FileNotFoundError(
                f"{folder} is no log that this recipe knows. As KuaiRand-Pure: {other} As Criteo's terabyte log: "
                f"{error} For a log of your own pass --schema my.yaml, too."
            ) from other
        return DailyDataset("kuairand", kuairand, "date", ("user_id", "video_id", "author_id", "music_id"), "user")
    ids = tuple(column.name for column in criteo.columns if isinstance(column, CategoricalColumn))
    return DailyDataset("criteo", criteo, "day", ids, None, "day_{}".format)


def write_daily_log(
    dataset: Dataset,
    day: str,
    folder: Path,
    chunk_rows: int,
    max_bad_rows: int = 0,
    folder_name: Callable[[int], str] = _date,
) -> None:
    """Write a dataset's rows as Parquet, a folder a day, unless that was done before.

    Args:
        dataset: the dataset.
        day: its column of days: dates as integers such as 20220408, or days counted from 0.
        folder: the folder to write.
        chunk_rows: rows read at a time; each chunk adds a file to the days that it has rows of.
        max_bad_rows: malformed rows to skip before giving up. Defaults to 0.
        folder_name: name of a day's folder. Defaults to its date, as `day=2022-04-08`.
    """
    if folder.is_dir():
        return
    with whole_folder(folder) as work:
        for number, frame in enumerate(dataset.chunks(chunk_rows, max_bad_rows)):
            for (value,), rows in frame.partition_by(day, maintain_order=True, as_dict=True).items():
                of_day = work / folder_name(int(value))
                of_day.mkdir(exist_ok=True)
                rows.drop("split").write_parquet(of_day / f"{number:06d}.parquet")


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
            growing keeps its own arguments in `"growing"`. A sequence that shares the ids of a hashed column is hashed
            like it.

    Raises:
        ValueError: if there is no such column, or it or a sequence that shares its ids is of another kind.

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
    columns = [make(column, capacity) if column.name in ids else column for column in description.columns]
    if how == "hashed":
        columns = [_hashed_list(column, capacity) if column.owner in ids else column for column in columns]
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


def _hashed_list(column: Column, capacity: int) -> Column:
    """A sequence of the ids of a hashed column."""
    if type(column) is not SequenceColumn:
        raise ValueError(
            f"Column {column.name!r} shares the ids of {column.owner!r}, which one of the variants hashes, and only a "
            f"`sequence` can be hashed like it. Received: {column}. Leave {column.owner!r} out of --ids, or give "
            f"{column.name!r} a vocabulary of its own: remove its `shares`."
        )
    return HashedSequenceColumn(
        column.name,
        column.side,
        column.raw,
        column.separator,
        column.shares,
        column.missing,
        length=column.length,
        buckets=capacity,
        beside=column.beside,
    )
