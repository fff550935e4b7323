"""A user's own table: any features, any tasks, CSV or Parquet."""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..schema import Task
from .dataset import SPLITS
from .kinds import Column
from .kinds.typed_values import plain_text
from .raw_files.bad_rows import BadRows
from .raw_files.file_slice import Run, part_of
from .raw_files.frame_rows import FrameRows
from .raw_files.table_file import TableFile
from .raw_files.times import times
from .remote_files import local_path
from .table_description import TableDescription
from .transforms.uniform_numbers import uniform_numbers
from .typed_rows import RowProblems, TypedRows, check_present

if TYPE_CHECKING:
    from pyspark.sql import DataFrame as SparkDataFrame

_SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"val": "validation", "dev": "validation", "test": "test"}
_NAMES = pl.Series("split", SPLITS)
# Rows whose times a task reads at once.
_CHUNK_ROWS = 100_000


class Tabular:
    """A table of impressions in one CSV, TSV or Parquet file, described by a YAML file (see `TableDescription`).

    The rows are split in order of time: the last tenth is for testing, the tenth before it for validation, the rest for
    training. The time is the column that the description names under `time` (numbers or ISO 8601 dates, rows in any
    order); without one it is the order of the file. `validation` sets another share for both, or names a column that
    says `train`, `validation` or `test` in every row. Rows are split at random only if you ask for it, since a model
    tested on the days it was trained on looks better than it is.

    A text file holds one row per line, and a list in it is a string with a separator. A Parquet file may have list
    columns for sequences, and must have them for vectors. A served model takes a list as one string, joined by the
    feature's `separator`, so a row with an item that contains it is a bad row. So is every row that does not fit the
    description; errors name its line, or its row number in a Parquet file. A column whose name cannot name an input of
    a served model, such as `Price (EUR)`, is served under its feature's name.

    With `prepare(..., engine="spark")` the table may also be a data frame of Spark, such as `spark.table("clicks")` or
    `spark.read.orc("hdfs://clicks")`. Its rows have the order of `collect()`, and must have it whenever they are read.

    Args:
        path: the table.
        description: a `TableDescription`, or the path of its YAML file.
        validation: share of the rows for validation, and as many for testing; or the column that names the split.
            Defaults to `0.1`.
        random: whether rows are split at random. Defaults to `False`.
        seed: seed of the random split. Defaults to `0`.

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: on a description that does not fit the table; says which column, and the names most like it.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.Tabular("impressions.parquet", "impressions.yaml"), "prepared/impressions")
    ```
    """

    extras: Mapping[str, str] = {}

    def __init__(
        self,
        path: "str | Path | SparkDataFrame",
        description: str | Path | TableDescription,
        validation: float | str = 0.1,
        random: bool = False,
        seed: int = 0,
    ) -> None:
        self.spark_frame = None if isinstance(path, str | Path) else path
        self._file: Any  # TableFile or FrameRows
        if isinstance(path, str | Path):
            self._file = TableFile(local_path(path))
        else:
            self._file = FrameRows(_spark_name(path), path.columns)
        if not isinstance(description, TableDescription):
            description = TableDescription.read(description)
        self.description = description
        self.name = self._file.path.name.split(".")[0]
        self._rows = TypedRows(self.description)
        self.columns: Sequence[Column] = self._rows.columns
        self.tasks: Sequence[Task] = self.description.tasks
        self._split_column = validation if isinstance(validation, str) else None
        self._share = 0.0 if isinstance(validation, str) else _check_share(validation)
        self._random = random
        self._seed = seed
        if random and self._split_column:
            raise ValueError(
                f"Rows cannot be split both at random and by column {validation!r}. Ask for one of the two."
            )
        check_present(self._file.path, self._file.columns, self._needed())
        self.files = () if self.spark_frame is not None else (self._file.path,)
        self.settings: dict[str, Any] = {
            "sources": list(self._rows.sources.values()),
            "labels": dict(self.description.labels),
            "time": self.description.time,
            "missing": list(self.description.missing),
            "validation": validation,
            "random": seed if random else None,
        }
        self.bad_rows = 0
        self._bounds: tuple[float, float] | None = None
        if self.spark_frame is not None:
            self.spark_frame = self.spark_frame.select(*(f"`{name}`" for name in self._needed()))
            self.settings = {}  # nothing tells whether another frame has the same rows

    def _needed(self) -> dict[str, str]:
        needed = self.description.raw_columns
        return needed | ({self._split_column: "the split"} if self._split_column else {})

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        if self.spark_frame is not None:
            raise ValueError(
                f'{self._file.path} is a table of Spark, which this process cannot read. Pass engine="spark" to '
                "`prepare`."
            )
        bad_rows = BadRows(max_bad_rows)
        if self._bounds is None:
            self._bounds = self._find_bounds(self._file.count_rows, lambda: self._times(chunk_rows))
        for raw, numbers in self._file.chunks(chunk_rows, list(self._needed()), bad_rows, workers):
            problems = RowProblems(raw, numbers)
            columns = self._rows(raw, problems)
            columns["split"] = self._split(self._rows.present(raw), numbers, self._bounds, problems.report)
            time = self.description.time
            if time is not None and time not in columns:
                columns[time] = self._rows.present(raw.select(time))[time]  # no feature, but what histories go by
            bad_rows.add(self._file.path, sorted(problems.found.items()))
            self.bad_rows = bad_rows.count
            frame = problems.fitting(pl.DataFrame([values.alias(name) for name, values in columns.items()]))
            if len(frame):
                yield frame
        self.bad_rows = bad_rows.count

    def _split(self, raw: pl.DataFrame, numbers: np.ndarray, bounds: tuple[float, float], report: Any) -> pl.Series:
        if self._split_column:
            text = plain_text(raw[self._split_column], "the split", functools.partial(report, self._split_column))
            named = text.str.to_lowercase().replace_strict(_SPLIT_NAMES, default=None, return_dtype=pl.String)
            report(self._split_column, named.is_null().to_numpy(), f"one of {sorted(_SPLIT_NAMES)}")
            return named.fill_null(SPLITS[0])
        if self._random:
            places = uniform_numbers(numbers, self._seed)
        elif self.description.time:
            places = times(raw[self.description.time])
            report(self.description.time, np.isnan(places), "a number or an ISO 8601 date")
        else:
            places = numbers - self._file.first_number
        return _NAMES.gather(np.searchsorted(bounds, np.nan_to_num(places), side="right"))

    def parts(self, size: int, run: Run) -> "list[Tabular]":
        """The rows in slices of the file, for engines (see `Dataset.parts`)."""
        files, rows = self._file.parts(size, run)
        parts = [part_of(self, _file=file) for file in files]

        def all_times() -> np.ndarray:
            return np.concatenate(run(_times_of, parts))

        bounds = self._find_bounds(lambda: rows, all_times)
        return [part_of(part, _bounds=bounds) for part in parts]

    def spark_parts(self, rows: Sequence[int]) -> "list[Tabular]":
        """The rows of each partition of a Spark data frame; `over` brings them.

        Args:
            rows: number of rows of each partition.
        """
        frame: Any = self.spark_frame

        def all_times() -> np.ndarray:
            # The only column that the driver reads.
            found = frame.select(f"`{self.description.time}`").toArrow()
            return times(self._rows.present(pl.DataFrame(pl.from_arrow(found))).to_series())

        bounds = self._find_bounds(lambda: sum(rows), all_times)
        path, columns = self._file.path, self._file.columns
        files = [FrameRows(path, columns, first=1 + sum(rows[:number])) for number in range(len(rows))]
        return [part_of(self, spark_frame=None, _bounds=bounds, _file=file) for file in files]

    @property
    def first_row(self) -> int:
        """Number of the first row of one of `spark_parts`, counted from 1."""
        return int(self._file.first)

    def over(self, frames: Iterable[pl.DataFrame]) -> "Tabular":
        """One of `spark_parts` with its rows."""
        return part_of(self, _file=self._file.over(frames))

    def _times(self, chunk_rows: int) -> np.ndarray:
        time = self.description.time or ""
        chunks = self._file.chunks(chunk_rows, [time], BadRows(sys.maxsize))
        return np.concatenate([times(self._rows.present(frame)[time]) for frame, _ in chunks] or [np.empty(0)])

    def _find_bounds(self, count_rows: Callable[[], int], all_times: Callable[[], np.ndarray]) -> tuple[float, float]:
        """The places (times, positions, or shares if random) at which validation and test begin."""
        shares = (1 - 2 * self._share, 1 - self._share)
        if self._random or self._split_column:
            return shares
        time = self.description.time
        if time is None:
            rows = count_rows()
            return round(rows * shares[0]), round(rows * shares[1])
        places = all_times()
        places = np.sort(places[~np.isnan(places)])
        if not len(places):
            raise ValueError(
                f"{self._file.path}: no value of the time column {time!r} is a number or an ISO 8601 date. Name "
                "another under `time`, or remove it to split in the order of the file."
            )
        first, second = (places[min(round(len(places) * share), len(places) - 1)] for share in shares)
        return float(first), float(second)

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Raise an error, since your own table cannot be downloaded."""
        raise NotImplementedError("A table of your own is not downloaded. Pass the path of its file.")


def _times_of(part: Tabular) -> np.ndarray:
    return part._times(_CHUNK_ROWS)


def _spark_name(frame: Any) -> Path:
    """What rows of a Spark data frame are called in messages: their file, where there is one."""
    if not hasattr(frame, "mapInArrow"):
        raise ValueError(f"`path` must be the path of a table or a data frame of Spark. Received: {type(frame)}.")
    files = frame.inputFiles()
    return Path(files[0]) if len(files) == 1 else Path("Spark data frame")


def _check_share(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.5:
        raise ValueError(
            "`validation` must be a share in (0, 0.5), since as many rows are for testing, or the name of a column. "
            f"Received: {value!r}."
        )
    return float(value)
