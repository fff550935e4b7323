"""Criteo's Display Advertising Challenge: 45 million impressions with anonymous columns."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..schema import Task
from .criteo_layout import LABEL, NUMERIC, criteo_columns, criteo_file
from .kinds import Column
from .raw_files.bad_rows import BadRows
from .raw_files.file_order_split import file_order_split
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.official_files import fetch_archive, find_file, require_file
from .remote_files import local_path

_URL = "https://go.criteo.net/criteo-research-kaggle-display-advertising-challenge-dataset.tar.gz"
_PAGE = "https://ailab.criteo.com/ressources/"
_REMEDY = f"Run with --download, or get the Kaggle Display Advertising Challenge dataset from {_PAGE}."
_FILE = "train.txt"

_SIDES = {
    **dict.fromkeys([*NUMERIC, "C3", "C4", "C12", "C16", "C19", "C21", "C24", "C26"], "user"),
    **dict.fromkeys(["C2", "C14", "C15", "C18", "C20", "C25"], "ad"),
    **dict.fromkeys(["C1", "C5", "C6", "C7", "C8", "C9", "C10", "C11", "C13", "C17", "C22", "C23"], "context"),
}


class CriteoDAC:
    """Criteo's Display Advertising Challenge (Kaggle 2014): one task, 13 counts and 26 hashed categories.

    The file is in time order: the first 80 % of its rows train, the next 10 % validate, the last 10 % test.

    The columns are anonymous, so their sides are an assumption, made from how far one column determines
    another (share of a column's entropy that another explains, measured on 28,544 rows) and from the number
    of distinct values in the whole file:

    - user: C3, C12, C21, C16, C4, C24 form a chain in which each determines the next (0.98 and more) and
      the first have millions of values seen a few times each, as profiles do; C26 and C19 follow them
      (0.95). The counts I1 to I13 are taken for the history of the user.
    - ad: C15 determines C18, which determines C2 (1.00 each, 15 thousand to 600 values: a hierarchy like
      advertiser, campaign and creative); C15 also determines C14; C25 and C20 follow it (0.84, 0.75).
    - context: C7 determines C11, C13 and C9 (0.98 and more) and mostly C10, C17 and C23: a hierarchy like
      publisher and placement. C1, C5, C6, C8 and C22 depend on no other column and are taken for context too.

    Only the placement of group structure depends on the sides; pass `sides` to try others.

    Args:
        folder: folder with `train.txt` or `train.txt.gz`.
        sides: column name to side, for columns to be placed differently, e.g. `{"C1": "user"}`.

    Raises:
        FileNotFoundError: if there is no `train.txt`.
        ValueError: on an unknown column in `sides`.

    Example:
    ```python
    dataset = gr.datasets.CriteoDAC("data/criteo-dac", sides={"C1": "user"})
    table = gr.datasets.prepare(dataset, "prepared/criteo-dac")
    ```
    """

    name = "criteo-dac"
    tasks: Sequence[Task] = (Task(LABEL),)
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path, sides: Mapping[str, str] | None = None) -> None:
        self._path = require_file(local_path(folder), [_FILE], _REMEDY)
        self.columns: Sequence[Column] = criteo_columns(_SIDES, sides)
        self.files = (self._path,)
        self.bad_rows = 0
        self._rows: int | None = None
        self._within: FileSlice | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        file, kinds = criteo_file(self._path, self.columns, self._within)
        if self._rows is None:
            self._rows = file.count_rows()
        for frame, lines in file.chunks(chunk_rows, kinds, bad_rows, workers):
            self.bad_rows = bad_rows.count
            yield frame.with_columns(file_order_split(lines - 1, self._rows))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[CriteoDAC]":
        """The rows in slices of the file, for engines (see `Dataset.parts`)."""
        slices, rows = criteo_file(self._path, self.columns)[0].slices(size, run)
        return [part_of(self, _within=within, _rows=rows) for within in slices]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Fetch the archive from Criteo (4.3 GB) unless `train.txt` is there; Criteo publishes no checksum."""
        folder = Path(folder)
        if find_file(folder, [_FILE]) is None:
            fetch_archive(folder, _URL, [_FILE], None, _PAGE)
        return folder
