"""Tenrec's QK-video: video impressions with clicks, likes, shares and follows."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column, SequenceColumn
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.official_files import find_file, require_file
from .remote_files import local_path

_PAGE = "https://static.qblv.qq.com/qblv/h5/algo-frontend/tenrec_dataset.html"
_FILES = ["ctr_data_1M.csv", "QK-video.csv"]
_SUBFOLDERS = ("", "Tenrec")
_REMEDY = (
    f"Tenrec asks to accept its licence: get the archive from {_PAGE} (linked at "
    "https://github.com/yuangh-x/2022-NIPS-Tenrec), unpack it, and pass the folder with ctr_data_1M.csv or "
    "QK-video.csv."
)

_USER = "user_id"
_MISSING = "\\N"
_HISTORY = [f"hist_{i}" for i in range(1, 11)]
_NO_ITEM = "0"
_TOKEN_COUNT = 5
_MERGE_ROWS = 1_000_000

_COLUMNS: tuple[Column, ...] = (
    CategoricalColumn(_USER, "user", dtype="int64", min_count=_TOKEN_COUNT),
    CategoricalColumn("gender", "user", min_count=_TOKEN_COUNT, missing=(_MISSING,)),
    CategoricalColumn("age", "user", min_count=_TOKEN_COUNT, missing=(_MISSING,)),
    CategoricalColumn("item_id", "ad", min_count=_TOKEN_COUNT, missing=(_MISSING,)),
    CategoricalColumn("video_category", "ad", min_count=_TOKEN_COUNT, missing=(_MISSING,)),
)
_CLICKED = SequenceColumn("clicked_items", "user", length=len(_HISTORY), shares="item_id", missing=(_MISSING, _NO_ITEM))


class Tenrec:
    r"""Tenrec, QK-video (Yuan et al., NeurIPS 2022): video impressions of Tencent, four tasks.

    Two official files have clicks and their absence. `ctr_data_1M.csv`, the benchmark's file (120 million impressions
    of one million users), is read if it is present, otherwise `QK-video.csv` (493 million of five million users). Their
    header is `user_id`, `item_id`, `click`, `follow`, `like`, `share`, `video_category`, `watching_times`, `gender`,
    `age`; the first also has `hist_1` … `hist_10`, items that the user clicked, with 0 where there are fewer. They
    become one sequence, `clicked_items`, which shares the vocabulary and embeddings of `item_id`. `\N` means missing.

    There are four tasks, `click`, `like`, `share` and `follow`; none is given another.

    There are no times, but each user's rows are in time order: a user's first 80 % of rows train, the next 10 %
    validate, the last 10 % test, each rounded to whole rows. A user with one or two rows has training rows only, and
    one with fewer than six has no test rows. Reading the file therefore takes a pass over it first, which keeps about
    24 bytes per user. The benchmark's own split is random.

    `watching_times` is never a feature, since it is counted after the impression. `hist_1` … `hist_10` are one snapshot
    per user: the benchmark's script takes the user's first ten clicks and removes those items' rows. Rows before the
    tenth click therefore see clicks of their future, and rows long after it an old history; test rows, the user's last,
    are not among the first.

    The files are available from https://static.qblv.qq.com/qblv/h5/algo-frontend/tenrec_dataset.html under
    CC BY-NC 4.0.

    Args:
        folder: folder with one of the two files (plain or `.gz`), or the one that holds the folder `Tenrec`.

    Raises:
        FileNotFoundError: if there is neither file.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.Tenrec("data/tenrec"), "prepared/tenrec")
    ```

    Reference:
        Yuan et al., *Tenrec: A Large-scale Multipurpose Benchmark Dataset for Recommender Systems*,
        [arXiv:2210.10629](https://arxiv.org/abs/2210.10629).
    """

    name = "tenrec"
    tasks: Sequence[Task] = (Task("click"), Task("like"), Task("share"), Task("follow"))
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path) -> None:
        self._path = require_file(local_path(folder), _FILES, _REMEDY, _SUBFOLDERS)
        self._file = DelimitedFile(self._path, ",")
        self._history = [name for name in _HISTORY if name in self._file.columns]
        self.columns: Sequence[Column] = (*_COLUMNS, _CLICKED) if self._history else _COLUMNS
        self.files = (self._path,)
        self.bad_rows = 0
        self._users: tuple[np.ndarray, np.ndarray] | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows in file order (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        if self._users is None:
            self._users = self._rows_by_user(chunk_rows, workers)
        users, rows = self._users
        seen = np.zeros(len(users), "int64")
        for frame, _ in self._file.chunks(chunk_rows, self._kinds, bad_rows, workers):
            self.bad_rows = bad_rows.count
            at = np.searchsorted(users, frame[_USER].to_numpy())
            positions = seen[at] + frame.select(pl.int_range(pl.len()).over(_USER)).to_series().to_numpy()
            np.add.at(seen, at, 1)
            yield self._with_history(frame).with_columns(_split(positions, rows[at]))
        self.bad_rows = bad_rows.count

    @property
    def _kinds(self) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {column.raw_name: column.dtype for column in _COLUMNS}
        kinds |= dict.fromkeys(self._history, "string")
        return kinds | {task.name: "label" for task in self.tasks}

    def _with_history(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._history:
            return frame
        # Pieces that mean missing are dropped from a sequence, so a missing item needs no care.
        clicked = pl.concat_str(pl.col(self._history), separator=",")
        return frame.with_columns(clicked.alias(_CLICKED.raw_name)).drop(self._history)

    def _rows_by_user(self, chunk_rows: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
        """The users in ascending order, and how many rows each has; only rows that the main pass will keep count."""
        merged, pending = pl.DataFrame(schema={_USER: pl.Int64, "rows": pl.UInt32}), []
        for frame, _ in self._file.chunks(chunk_rows, self._kinds, BadRows(sys.maxsize), workers):
            pending.append(frame[_USER].value_counts(name="rows"))
            # Merging costs the size of what is merged already, so it waits until as much is new.
            if sum(map(len, pending)) > max(_MERGE_ROWS, len(merged)):
                merged, pending = _merge([merged, *pending]), []
        merged = _merge([merged, *pending])
        return merged[_USER].to_numpy(), merged["rows"].to_numpy().astype("int64")

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if a file is there; otherwise say how to get it, for Tencent asks to accept a licence."""
        folder = Path(folder)
        if find_file(folder, _FILES, _SUBFOLDERS) is None:
            raise PermissionError(f"Tenrec cannot be fetched by a program. {_REMEDY}")
        return folder


def _merge(counts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(counts).group_by(_USER).agg(pl.col("rows").sum()).sort(_USER)


def _split(positions: np.ndarray, rows: np.ndarray) -> pl.Series:
    """`split` of rows at 0-based positions among their user's rows, judged by the middle of each row."""
    middle = 10 * (2 * positions + 1)
    names = pl.Series("split", ["train", "validation", "test"])
    return names.gather((middle > 16 * rows).astype("uint32") + (middle > 18 * rows))
