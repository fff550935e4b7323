"""Criteo's Attribution Modeling for Bidding: 16 million impressions with clicks and conversions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column, NumericColumn
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.hide_unobserved import hide_unobserved
from .raw_files.official_files import find_file, require_file
from .raw_files.time_split import time_split
from .remote_files import local_path

_PAGE = "https://huggingface.co/datasets/criteo/criteo-attribution-dataset"
_FILE = "criteo_attribution_dataset.tsv"
_SUBFOLDERS = ("", "criteo_attribution_dataset")
_REMEDY = (
    f"Criteo asks to accept its terms: log in at {_PAGE}, accept them, fetch {_FILE}.gz (653 MB) and pass the folder "
    "that you put it into."
)

_TIME = "timestamp"
_DAY = 24 * 3600
_BOUNDS = (25 * _DAY, 28 * _DAY)
_TOKEN_COUNT = 5


def _integers(side: str, *names: str) -> list[CategoricalColumn]:
    return [CategoricalColumn(name, side, dtype="int64", min_count=_TOKEN_COUNT) for name in names]


_COLUMNS: tuple[Column, ...] = (
    *_integers("user", "uid"),
    NumericColumn("time_since_last_click", "user"),
    *_integers("ad", "campaign"),
    *_integers("context", *(f"cat{i}" for i in range(1, 10))),
    CategoricalColumn("hour", "context", raw=_TIME, dtype="int64", divisor=3600, modulo=24),
)


class CriteoAttribution:
    """Criteo Attribution Modeling for Bidding (Diemert et al., AdKDD 2017): 16,468,027 impressions of 31 days.

    Each line is one impression, tab-separated, in time order. The header names the columns: `timestamp` (seconds since
    the first impression), `uid`, `campaign`, `conversion`, `conversion_timestamp`, `conversion_id`, `attribution`,
    `click`, `click_pos`, `click_nb`, `cost`, `cpo`, `time_since_last_click`, `cat1` … `cat9`.

    Two tasks, `click` and `conversion` given a click. Which conversion counts is a choice:

    - `conversion` (the default) is 1 if the user converted within 30 days after the impression, whichever of the
      user's clicks came last. One purchase therefore marks all the user's clicks before it: 806,196 rows share
      435,810 conversions.
    - `attribution` is 1 if the conversion was also attributed to Criteo (442,424 rows).

    Both are 1 on clicked impressions only; without a click the label is missing here. The log ends with the 31 days,
    so conversions of its last days are the least complete.

    The rows are split by time: days 0 to 24 are for training, 25 to 27 for validation, 28 to 30 for testing.

    These columns are never features: `conversion_timestamp`, `conversion_id`, `click_pos` and `click_nb` are filled in
    on conversions only; `cost` is the price paid after the auction; `cpo` is described as the cost of an attributed
    order, and nothing says that it was known before. `time_since_last_click` is known at the impression; -1 (no click
    yet, 53 % of the rows) is kept, since it carries information and stays below 0 after the logarithm. The columns
    `cat1` to `cat9` are described as features of the display and none is constant within a campaign, so they are
    context.

    The file is available from https://huggingface.co/datasets/criteo/criteo-attribution-dataset under CC BY-NC-SA 4.0.

    Args:
        folder: folder with `criteo_attribution_dataset.tsv.gz` (or unpacked `.tsv`).
        attributed: whether the conversion label is `attribution`. Defaults to `False`, `conversion`.

    Raises:
        FileNotFoundError: if there is no such file.

    Example:
    ```python
    dataset = gr.datasets.CriteoAttribution("data/criteo-attribution")
    table = gr.datasets.prepare(dataset, "prepared/criteo-attribution")
    ```

    Reference:
        Diemert et al., *Attribution Modeling Increases Efficiency of Bidding in Display Advertising*,
        [arXiv:1707.06409](https://arxiv.org/abs/1707.06409).
    """

    name = "criteo-attribution"
    columns: Sequence[Column] = _COLUMNS
    tasks: Sequence[Task] = (Task("click"), Task("conversion", given="click"))
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path, attributed: bool = False) -> None:
        self._path = require_file(local_path(folder), [_FILE], _REMEDY, _SUBFOLDERS)
        self._label = "attribution" if attributed else "conversion"
        self.files = (self._path,)
        self.settings = {"conversion": self._label}
        self.bad_rows = 0
        self._within: FileSlice | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in time order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        file = DelimitedFile(self._path, "\t", quoted=False, within=self._within)
        kinds: dict[str, Kind] = {"click": "label", self._label: "label"}
        kinds |= {column.raw_name: column.dtype for column in self.columns}
        for frame, _ in file.chunks(chunk_rows, kinds, bad_rows, workers):
            self.bad_rows = bad_rows.count
            frame = frame.rename({self._label: "conversion"})
            yield hide_unobserved(frame, self.tasks).with_columns(time_split(frame[_TIME], _BOUNDS))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[CriteoAttribution]":
        """The rows in slices of the file, for engines (see `Dataset.parts`)."""
        slices, _ = DelimitedFile(self._path, "\t", quoted=False).slices(size, run)
        return [part_of(self, _within=within) for within in slices]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if the file is there; otherwise say how to get it, for Criteo asks for a login."""
        folder = Path(folder)
        if find_file(folder, [_FILE], _SUBFOLDERS) is None:
            raise PermissionError(f"Criteo's attribution dataset cannot be fetched without an account. {_REMEDY}")
        return folder
