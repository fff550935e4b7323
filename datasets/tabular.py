"""A user's own table: any features, any tasks, CSV or Parquet."""

import dataclasses
import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..schema import Task
from .dataset import SPLITS
from .kinds import Column, LabelColumn
from .kinds.typed_values import decoded, misfit, plain_text
from .raw_files.bad_rows import BadRows
from .raw_files.shown import shown
from .raw_files.table_file import TableFile
from .table_description import TableDescription, nearest
from .transforms.uniform_numbers import uniform_numbers

_SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"val": "validation", "dev": "validation", "test": "test"}
_NAMES = pl.Series("split", SPLITS)
_INPUT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


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
        path: str | Path,
        description: str | Path | TableDescription,
        validation: float | str = 0.1,
        random: bool = False,
        seed: int = 0,
    ) -> None:
        self._file = TableFile(Path(path))
        if not isinstance(description, TableDescription):
            description = TableDescription.read(description)
        self.description = description
        self.name = self._file.path.name.split(".")[0]
        self.columns: Sequence[Column] = [
            _with_missing(_served(column), self.description.missing) for column in self.description.columns
        ]
        self._sources = dict(zip(self.columns, (c.raw_name for c in self.description.columns), strict=True))
        self.tasks: Sequence[Task] = self.description.tasks
        self._split_column = validation if isinstance(validation, str) else None
        self._share = 0.0 if isinstance(validation, str) else _check_share(validation)
        self._random = random
        self._seed = seed
        if random and self._split_column:
            raise ValueError(
                f"Rows cannot be split both at random and by column {validation!r}. Ask for one of the two."
            )
        self._check_columns()
        self.files = (self._file.path,)
        self.settings: dict[str, Any] = {
            "sources": list(self._sources.values()),
            "labels": dict(self.description.labels),
            "time": self.description.time,
            "missing": list(self.description.missing),
            "validation": validation,
            "random": seed if random else None,
        }
        self.bad_rows = 0
        self._bounds: tuple[float, float] | None = None

    def _needed(self) -> dict[str, str]:
        needed = self.description.raw_columns
        return needed | ({self._split_column: "the split"} if self._split_column else {})

    def _check_columns(self) -> None:
        taken: dict[str, str] = {}
        for column, source in self._sources.items():
            other = taken.setdefault(column.raw_name, source)
            if other != source:
                raise ValueError(
                    f"The columns {other!r} and {source!r} would both be the input {column.raw_name!r} of a served "
                    "model. Rename the feature that reads the first or the second."
                )
        for raw, owner in self._needed().items():
            if raw not in self._file.columns:
                raise ValueError(
                    f"{self._file.path} has no column {raw!r}, which {owner} reads.{nearest(raw, self._file.columns)} "
                    f"Its columns: {self._file.columns}."
                )

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        if self._bounds is None:
            self._bounds = self._find_bounds(chunk_rows)
        for raw, numbers in self._file.chunks(chunk_rows, list(self._needed()), bad_rows, workers):
            frame, problems = self._typed(raw, numbers, self._bounds)
            bad_rows.add(self._file.path, sorted(problems.items()))
            self.bad_rows = bad_rows.count
            if problems:
                frame = frame.filter(pl.Series(~np.isin(numbers, list(problems))))
            if len(frame):
                yield frame
        self.bad_rows = bad_rows.count

    def _nulls(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Null where a label, a time or a split is missing; features are read as they stand in the file."""
        return frame.with_columns(pl.col(pl.String).replace(["", *self.description.missing], None))

    def _typed(
        self, raw: pl.DataFrame, numbers: np.ndarray, bounds: tuple[float, float]
    ) -> tuple[pl.DataFrame, dict[int, str]]:
        problems: dict[int, str] = {}
        present = self._nulls(raw)

        def report(name: str, wrong: np.ndarray, expected: str) -> None:
            for row in np.flatnonzero(wrong).tolist():
                value = raw[name][row]
                received = shown(None if isinstance(value, str) and not value else value)
                problems.setdefault(int(numbers[row]), f"column {name!r}: expected {expected}. Received: {received}.")

        columns = {
            column.raw_name: column.typed(raw[source], functools.partial(report, source))
            for column, source in self._sources.items()
        }
        for task, label in self.description.labels.items():
            columns[task] = LabelColumn(label).typed(present[label], functools.partial(report, label))
        columns["split"] = self._split(present, numbers, bounds, report)
        return pl.DataFrame([values.alias(name) for name, values in columns.items()]), problems

    def _split(self, raw: pl.DataFrame, numbers: np.ndarray, bounds: tuple[float, float], report: Any) -> pl.Series:
        if self._split_column:
            text = plain_text(raw[self._split_column], "the split", functools.partial(report, self._split_column))
            named = text.str.to_lowercase().replace_strict(_SPLIT_NAMES, default=None, return_dtype=pl.String)
            report(self._split_column, named.is_null().to_numpy(), f"one of {sorted(_SPLIT_NAMES)}")
            return named.fill_null(SPLITS[0])
        if self._random:
            places = uniform_numbers(numbers, self._seed)
        elif self.description.time:
            places = _times(raw[self.description.time])
            report(self.description.time, np.isnan(places), "a number or an ISO 8601 date")
        else:
            places = numbers - self._file.first_number
        return _NAMES.gather(np.searchsorted(bounds, np.nan_to_num(places), side="right"))

    def _find_bounds(self, chunk_rows: int) -> tuple[float, float]:
        """The places (times, positions, or shares if random) at which validation and test begin."""
        shares = (1 - 2 * self._share, 1 - self._share)
        if self._random or self._split_column:
            return shares
        time = self.description.time
        if time is None:
            rows = self._file.count_rows()
            return round(rows * shares[0]), round(rows * shares[1])
        chunks = self._file.chunks(chunk_rows, [time], BadRows(sys.maxsize))
        places = np.concatenate([_times(self._nulls(frame)[time]) for frame, _ in chunks])
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


def _served(column: Column) -> Column:
    return column if _INPUT_NAME.fullmatch(column.raw_name) else dataclasses.replace(column, raw=None)


def _with_missing(column: Column, missing: Sequence[str]) -> Column:
    """The column with its own and the table's spellings of missing values, for its transform and for serving."""
    own = getattr(column, "missing", None)  # a vector has none
    if own is None or not missing:
        return column
    both: dict[str, Any] = {"missing": tuple(dict.fromkeys([*own, *missing]))}
    return dataclasses.replace(column, **both)


def _check_share(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.5:
        raise ValueError(
            "`validation` must be a share in (0, 0.5), since as many rows are for testing, or the name of a column. "
            f"Received: {value!r}."
        )
    return float(value)


def _times(values: pl.Series) -> np.ndarray:
    """Times as float64, in one unit for the whole column, NaN where there is none."""
    if values.dtype in (pl.Binary, pl.Categorical, pl.Enum):
        values = decoded(values, pl.String)
    if values.dtype.is_nested() or values.dtype == pl.Object:
        raise misfit(values, "`time`", "numbers or dates")
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() > values.null_count():
            numbers = numbers.fill_null(_microseconds(values))
    else:
        numbers = values.to_physical().cast(pl.Float64, strict=False)
    return numbers.fill_null(float("nan")).to_numpy()


def _microseconds(values: pl.Series) -> pl.Series:
    """Microseconds of ISO 8601 dates, with or without time and zone; null where the text is not a date."""
    text = pl.col("text").str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    parse = functools.partial(text.str.to_datetime, time_unit="us", strict=False)
    forms = [parse(form) for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")]
    forms.append(parse("%Y-%m-%d %H:%M:%S%.f%:z").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    forms.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    dates = pl.DataFrame({"text": values}).select(pl.coalesce(forms)).to_series()
    return dates.dt.epoch("us").cast(pl.Float64)
