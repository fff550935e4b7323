"""A log as a sequence of periods."""

import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ..datasets.raw_files.bad_rows import BadRows
from ..datasets.raw_files.table_file import TableFile
from ..datasets.raw_files.times import UNITS, guess_unit, microseconds
from .period import Period, TimeCut

_ENDINGS = re.compile(r"\.(csv|tsv|txt)(\.gz)?|\.(parquet|pq)")
_EVERY = re.compile(r"([1-9][0-9]*)(m|h|d|w)")
_MICROSECONDS = {"m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6, "w": 7 * 86400 * 10**6}
_DATE = re.compile(r"(\d{4})(-?)(\d{2})\2(\d{2})(?:[-_T ]?(\d{2})(?:[:-]?(\d{2}))?)?$")
_NUMBER = re.compile(r"(\d+)$")
_EPOCH = datetime.datetime(1970, 1, 1)
# A Monday, so that weeks begin on Mondays.
_ANCHOR = 4 * _MICROSECONDS["d"]


def periods(
    path: str | Path,
    time: str | None = None,
    every: str = "1d",
    unit: str | None = None,
    chunk_rows: int = 100_000,
    max_bad_rows: int = 0,
) -> list[Period]:
    """The periods of a log, in the order of time.

    Without `time` the log is a folder with a folder or a file for each period, whose name ends in its date
    (`day=2024-01-31`, `2024-01-31.parquet`, `clicks_20240131.csv.gz`, `2024-01-31-06`) or in a number (`day_0`,
    `day_1`, …, `day_10`). Names that begin with a dot or an underscore and files of other kinds are passed over.

    With `time` the log is one table, a file or a folder of files, cut by that column. Its rows may be in any order. One
    pass over the column counts the rows of each period; of a table in order of time a period then reads its own part,
    of another one all of the files that have rows of it. Periods without rows are left out.

    CSV, TSV (both also gzip) and Parquet are read.

    Args:
        path: the folder, or the table's file.
        time: the column of times: dates, numbers, or strings of numbers or of ISO 8601 dates. Times without a zone are
            taken as UTC. Defaults to `None`.
        every: the length of a period: a number with `m` (minutes), `h`, `d` or `w`. Days begin at midnight UTC, weeks
            on Mondays. Defaults to `"1d"`.
        unit: what the numbers of `time` count since 1970: `"s"`, `"ms"`, `"us"` or `"ns"`; or how they are spelled,
            such as `"%Y%m%d"` or `"%y%m%d%H"`. `None` goes by the size of the first number: below 1e11 it counts
            seconds, below 1e14 milliseconds, below 1e17 microseconds. Defaults to `None`.
        chunk_rows: rows of `time` read at a time. Defaults to 100,000.
        max_bad_rows: rows whose time is missing or cannot be read that may be left out. Defaults to 0.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if names do not say when, two say the same, or a time cannot be read.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for day in ("2024-02-01", "2024-01-31"):
    ...     pl.DataFrame({"click": [0, 1]}).write_parquet(folder / f"{day}.parquet")
    >>> [(period.name, period.place) for period in periods(folder)]
    [('2024-01-31', 19749), ('2024-02-01', 19750)]
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Pass the folder of a log, or a table's file.")
    found = _EVERY.fullmatch(every) if isinstance(every, str) else None
    if found is None:
        raise ValueError(f'`every` must be a number with m, h, d or w, such as "1d" or "6h". Received: {every!r}.')
    if unit is not None and unit not in UNITS and "%" not in str(unit):
        raise ValueError(f'`unit` must be one of {list(UNITS)} or a spelling such as "%Y%m%d". Received: {unit!r}.')
    length = int(found[1]) * _MICROSECONDS[found[2]]
    if time is None:
        return _by_name(path, length)
    return _by_time(path, time, length, unit, chunk_rows, max_bad_rows)


def _by_name(path: Path, length: int) -> list[Period]:
    if not path.is_dir():
        raise ValueError(f"{path} is one file. Name its column of times: periods(path, time='event_time').")
    children = [child for child in sorted(path.iterdir()) if child.name[0] not in "._"]
    children = [child for child in children if child.is_dir() or _ENDINGS.search(child.name.lower())]
    if not children:
        raise ValueError(f"{path} holds no folder and no table for a period. Expected names such as day=2024-01-31.")
    stems = {child: child.name if child.is_dir() else _ENDINGS.split(child.name, maxsplit=1)[0] for child in children}
    dated = {child: _DATE.search(stem) for child, stem in stems.items()}
    found: dict[int, Period] = {}
    for child, stem in stems.items():
        date, number = dated[child], _NUMBER.search(stem)
        if date is not None and all(dated.values()):
            start = _start(child, date)
            place, name = (start - _ANCHOR) // length, _name(start, length)
        elif number is not None and not any(dated.values()):
            place, name = int(number[1]), stem
        else:
            raise ValueError(
                f"The names in {path} must all end in a date such as 2024-01-31, or all in a number. Received: "
                f"{child.name!r}. Rename it, or begin its name with an underscore to leave it out."
            )
        if place in found:
            raise ValueError(
                f"Two periods of {path} are the same: {found[place].files[0][0]} and {child}. Put one into the other, "
                "or pass the length of a period as `every`."
            )
        found[place] = Period(name, place, tuple((file, None) for file in _files(child)))
    return [found[place] for place in sorted(found)]


def _files(path: Path) -> list[Path]:
    """The tables at or below a path."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and _ENDINGS.search(file.name.lower()))
    files = [file for file in files if not any(part[0] in "._" for part in file.relative_to(path).parts)]
    if not files:
        raise ValueError(f"{path} holds no CSV, TSV or Parquet file. Let its name begin with _ to leave it out.")
    return files


def _start(child: Path, date: re.Match[str]) -> int:
    year, _, month, day, hour, minute = date.groups()
    try:
        start = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0))
    except ValueError as error:
        raise ValueError(f"{child}: its name ends in no date ({error}).") from error
    return (start - _EPOCH) // datetime.timedelta(microseconds=1)


def _name(start: int, length: int) -> str:
    moment = _EPOCH + datetime.timedelta(microseconds=start)
    return f"{moment:%Y-%m-%d}" if length % _MICROSECONDS["d"] == 0 else f"{moment:%Y-%m-%dT%H:%M}"


class _Part(NamedTuple):
    """The rows of a period in one file."""

    path: Path
    first: int
    last: int
    rows: int


def _by_time(path: Path, time: str, length: int, unit: str | None, chunk_rows: int, max_bad_rows: int) -> list[Period]:
    parts: dict[int, list[_Part]] = {}
    bad_rows = BadRows(max_bad_rows)
    for file in _files(path):
        of_file: dict[int, _Part] = {}
        for frame, numbers in _chunks(file, time, chunk_rows):
            unit = guess_unit(frame[time]) if unit is None else unit
            times = microseconds(frame[time], unit)
            wrong = numbers[times.is_null().to_numpy()].tolist()
            bad_rows.add(file, [(n, f"column {time!r}: expected a number or an ISO 8601 date.") for n in wrong])
            places = (times.drop_nulls().to_numpy() - _ANCHOR) // length
            numbers = numbers[times.is_not_null().to_numpy()]
            for place in np.unique(places).tolist():
                own = numbers[places == place]
                before = of_file.get(place, _Part(file, int(own[0]), 0, 0))
                of_file[place] = _Part(file, before.first, int(own[-1]), before.rows + len(own))
        for place, part in of_file.items():
            parts.setdefault(place, []).append(part)
    if not parts:
        raise ValueError(f"{path}: no value of the time column {time!r} is a number or an ISO 8601 date.")
    found = []
    for place in sorted(parts):
        start = place * length + _ANCHOR
        files = tuple((part.path, (part.first, part.last)) for part in parts[place])
        cut = TimeCut(time, unit, start, start + length)
        found.append(Period(_name(start, length), place, files, cut, sum(part.rows for part in parts[place])))
    return found


def _chunks(file: Path, time: str, chunk_rows: int) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    table = TableFile(file)
    if time not in table.columns:
        raise ValueError(f"{file} has no column {time!r} of times. Its columns: {table.columns}.")
    # Malformed lines are left out here; whoever reads the rows reports them.
    yield from table.chunks(chunk_rows, [time], BadRows(sys.maxsize))
