"""Criteo's terabyte click logs: 24 days of impressions, one file a day."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..schema import Task
from .criteo_layout import CATEGORICAL, LABEL, NUMERIC, criteo_columns, criteo_file
from .kinds import Column
from .raw_files.bad_rows import BadRows
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.official_files import find_file
from .raw_files.time_split import time_split
from .remote_files import local_path

_DAYS = 24
_PAGE = "https://ailab.criteo.com/download-criteo-1tb-click-logs-dataset/"
_REMEDY = f"Get day_0 … day_{_DAYS - 1}, or some of them (plain or .gz), from {_PAGE} and pass their folder."


class CriteoTerabyte:
    """Criteo's terabyte click logs: 4.4 billion impressions of 24 days, 13 counts and 26 hashed categories.

    Each day is a file, `day_0` to `day_23`, without a header and in the layout of `CriteoDAC`: the label, the counts
    and the categories, separated by tabs. Some of the days are enough. The last of them is for testing, the one before
    for validation, and the others are for training; `day` is kept beside the prepared columns. `recipes.daily` trains
    them one after the other.

    The columns are anonymous, and their order is not that of `CriteoDAC`. By assumption, the counts belong to the user
    and the categories to the ad; only the placement of group structure depends on it. Pass `sides` to try others.

    Args:
        folder: folder with the files, plain or `.gz`.
        sides: column name to side, for columns to be placed differently, e.g. `{"C1": "user"}`.

    Raises:
        FileNotFoundError: if there is no file of a day.
        ValueError: on an unknown column in `sides`.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.CriteoTerabyte("data/criteo-terabyte"), "prepared/criteo-terabyte")
    ```
    """

    name = "criteo-terabyte"
    tasks: Sequence[Task] = (Task(LABEL),)
    extras: Mapping[str, str] = {"day": "int32"}

    def __init__(self, folder: str | Path, sides: Mapping[str, str] | None = None) -> None:
        folder = local_path(folder)
        found = {day: find_file(folder, [f"day_{day}"]) for day in range(_DAYS)}
        self._days = {day: path for day, path in found.items() if path is not None}
        if not self._days:
            raise FileNotFoundError(
                f"Found no file of a day, day_0[.gz] … day_{_DAYS - 1}[.gz], in {folder}. {_REMEDY}"
            )
        assumed = dict.fromkeys(NUMERIC, "user") | dict.fromkeys(CATEGORICAL, "ad")
        self.columns: Sequence[Column] = criteo_columns(assumed, sides)
        self.files = tuple(self._days.values())
        self.bad_rows = 0
        self._part: tuple[int, FileSlice] | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows day by day (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        last = max(self._days)
        validation = max((day for day in self._days if day != last), default=last)
        for day, within in [self._part] if self._part else [(day, None) for day in self._days]:
            file, kinds = criteo_file(self._days[day], self.columns, within)
            for frame, _ in file.chunks(chunk_rows, kinds, bad_rows, workers):
                self.bad_rows = bad_rows.count
                days = pl.repeat(day, len(frame), dtype=pl.Int32, eager=True).alias("day")
                yield frame.with_columns(days, time_split(days, (validation, last)))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[CriteoTerabyte]":
        """The rows in slices of the days' files, for engines (see `Dataset.parts`)."""
        files = {day: criteo_file(path, self.columns)[0] for day, path in self._days.items()}
        return [
            part_of(self, _part=(day, within)) for day, file in files.items() for within in file.slices(size, run)[0]
        ]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if a day is there; otherwise say how to get it, for the files are a terabyte."""
        folder = Path(folder)
        if all(find_file(folder, [f"day_{day}"]) is None for day in range(_DAYS)):
            raise PermissionError(f"Criteo's terabyte of click logs is not fetched by a program. {_REMEDY}")
        return folder
