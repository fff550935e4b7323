"""A synthetic ads log read back from its CSV."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ...schema import Task
from ..kinds import Column
from ..raw_files.bad_rows import BadRows
from ..raw_files.delimited_file import DelimitedFile, Kind
from ..raw_files.file_slice import FileSlice, Run, part_of
from ..remote_files import local_path
from .columns import CLICK_TASKS, COLUMNS, CONVERSION, NAME, TASKS, chosen_tasks, extras_beside


class SyntheticAdsFile:
    """The dataset of a CSV that `SyntheticAds.write` made, with the same columns, labels and extras.

    Args:
        path: the file, plain or gzip (`.gz`).
        tasks: names of the outcomes to predict. Defaults to the four clicks.

    Raises:
        FileNotFoundError: if there is no such file.

    Example:
    ```python
    gr.datasets.SyntheticAds(rows=10_000).write("ads.csv")
    table = gr.datasets.prepare(gr.datasets.SyntheticAds.read("ads.csv"), "prepared/ads")
    ```
    """

    name = NAME
    columns: Sequence[Column] = COLUMNS

    def __init__(self, path: str | Path, tasks: Sequence[str] = CLICK_TASKS) -> None:
        self._path = local_path(path)
        if not self._path.is_file():
            raise FileNotFoundError(f"There is no file {self._path}. Make one with SyntheticAds(rows=...).write(path).")
        self.tasks: Sequence[Task] = chosen_tasks(tasks)
        self.extras: Mapping[str, str] = extras_beside(self.tasks)
        self.files = (self._path,)
        self.bad_rows = 0
        self._within: FileSlice | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        integers = [name for name, dtype in self.extras.items() if dtype == "int32"]
        kinds: dict[str, Kind] = {column.raw_name: column.dtype for column in self.columns}
        kinds |= {name: "int64" if name in integers else "float32" for name in self.extras}
        kinds |= {name: "float32" if name == CONVERSION else "label" for name in TASKS}
        kinds["split"] = "string"
        file = DelimitedFile(self._path, ",", within=self._within)
        for frame, _ in file.chunks(chunk_rows, kinds, bad_rows, workers):
            self.bad_rows = bad_rows.count
            yield frame.with_columns(pl.col(integers).cast(pl.Int32))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[SyntheticAdsFile]":
        """The rows in slices of the file, for engines (see `Dataset.parts`)."""
        slices, _ = DelimitedFile(self._path, ",").slices(size, run)
        return [part_of(self, _within=within) for within in slices]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Raise an error, since there is nothing to download."""
        raise NotImplementedError(
            f"{NAME!r} is generated, not downloaded. Make a file of it with "
            f"SyntheticAds(rows=...).write({str(Path(folder) / 'ads.csv')!r})."
        )
