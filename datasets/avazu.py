"""Avazu's click-through-rate challenge: 40 million mobile impressions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.file_order_split import file_order_split
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.official_files import find_file, require_file
from .remote_files import local_path

_PAGE = "https://www.kaggle.com/c/avazu-ctr-prediction/data"
_REMEDY = (
    f"Kaggle asks for a login: accept the rules on {_PAGE}, run "
    "`kaggle competitions download -c avazu-ctr-prediction -f train.gz`, and pass the folder with train.gz."
)
_FILES = ["train", "train.csv"]
_LABEL = "click"
_TOKEN_COUNT = 5


def _strings(side: str, *names: str) -> list[CategoricalColumn]:
    return [CategoricalColumn(name, side, min_count=_TOKEN_COUNT) for name in names]


def _integers(side: str, *names: str) -> list[CategoricalColumn]:
    return [CategoricalColumn(name, side, dtype="int64", min_count=_TOKEN_COUNT) for name in names]


_COLUMNS: tuple[Column, ...] = (
    *_strings("user", "device_id", "device_ip", "device_model"),
    *_integers("user", "device_type", "device_conn_type"),
    *_integers("ad", "C14", "C15", "C16", "C17", "C18", "C19", "C21"),
    *_strings("context", "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"),
    *_integers("context", "C1", "C20", "banner_pos"),
    CategoricalColumn("hour_of_day", "context", raw="hour", dtype="int64", modulo=100, min_count=_TOKEN_COUNT),
)


class Avazu:
    """Avazu's click-through-rate challenge (Kaggle 2014): one task, mobile sites and apps.

    The file is in time order: the first 80 % of its rows train, the next 10 % validate, the last 10 % test.
    `id` is left out, since every row has its own; `hour` (YYMMDDHH) gives the hour of the day, since a date never
    comes back. The device is the user, the site or app the context. C1 and C14 to C21 are anonymous, so their
    sides are an assumption, made from which column determines which (measured on 8,999 rows): C14 determines
    C15 to C19 and C21, as a creative does its banner's size (C15 and C16 read like width and height) and its
    campaign (C17, which determines C18, C19 and C21), so they are taken for the ad; no column of the ad
    determines C20, and C1 follows the type of device, so these two are taken for context.

    Args:
        folder: folder with Kaggle's `train`, `train.csv` or one of them as `.gz`.

    Raises:
        FileNotFoundError: if there is none of these files.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.Avazu("data/avazu"), "prepared/avazu")
    ```
    """

    name = "avazu"
    columns: Sequence[Column] = _COLUMNS
    tasks: Sequence[Task] = (Task(_LABEL),)
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path) -> None:
        self._path = require_file(local_path(folder), _FILES, _REMEDY)
        self.files = (self._path,)
        self.bad_rows = 0
        self._rows: int | None = None
        self._within: FileSlice | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        file = DelimitedFile(self._path, ",", within=self._within)
        if self._rows is None:
            self._rows = file.count_rows()
        kinds: dict[str, Kind] = {_LABEL: "label", **{column.raw_name: column.dtype for column in self.columns}}
        for frame, lines in file.chunks(chunk_rows, kinds, bad_rows, workers):
            self.bad_rows = bad_rows.count
            yield frame.with_columns(file_order_split(lines - 1 - file.header_lines, self._rows))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[Avazu]":
        """The rows in slices of the file, for engines (see `Dataset.parts`)."""
        slices, rows = DelimitedFile(self._path, ",").slices(size, run)
        return [part_of(self, _within=within, _rows=rows) for within in slices]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if the file is there; otherwise say how to get it, for Kaggle asks for a login."""
        folder = Path(folder)
        if find_file(folder, _FILES) is None:
            raise PermissionError(f"Avazu's file cannot be fetched without an account. {_REMEDY}")
        return folder
