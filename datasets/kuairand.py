"""KuaiRand-Pure: short-video impressions with many feedback signals."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column, NumericColumn, SequenceColumn
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.official_files import fetch_archive, find_file, require_file
from .remote_files import local_path

_URL = "https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz"
_MD5 = "0820331067a3784d9691136f772b35a7"  # as the Zenodo record states it
_PAGE = "https://zenodo.org/records/10439422"
_SUBFOLDERS = ("", "data", "KuaiRand-Pure/data")
_REMEDY = f"Run with --download, or get KuaiRand-Pure from {_PAGE} and pass the folder with its CSV files."

_EARLY_LOG = "log_standard_4_08_to_4_21_pure.csv"
_LATE_LOG = "log_standard_4_22_to_5_08_pure.csv"
_USERS = "user_features_pure.csv"
_VIDEOS = "video_features_basic_pure.csv"

_LAST_TRAINING_DATE = 20220504
_LAST_VALIDATION_DATE = 20220506

# An embedding of an id learns nothing from very few rows; the other columns have few values.
_ID_COUNT = 2
_TOKEN_COUNT = 5

# The user's and video's columns that stand in the log itself; the side files hold the others.
_IN_LOG: dict[str, Kind] = {"user_id": "int64", "video_id": "int64", "duration_ms": "float32"}

_COLUMNS: tuple[Column, ...] = (
    CategoricalColumn("user_id", "user", dtype="int64", min_count=_ID_COUNT),
    CategoricalColumn("user_active_degree", "user", min_count=_TOKEN_COUNT),
    CategoricalColumn("is_live_streamer", "user", min_count=_TOKEN_COUNT),
    CategoricalColumn("is_video_author", "user", min_count=_TOKEN_COUNT),
    NumericColumn("follow_user_num", "user"),
    CategoricalColumn("follow_user_num_range", "user", min_count=_TOKEN_COUNT),
    NumericColumn("fans_user_num", "user"),
    CategoricalColumn("fans_user_num_range", "user", min_count=_TOKEN_COUNT),
    NumericColumn("friend_user_num", "user"),
    CategoricalColumn("friend_user_num_range", "user", min_count=_TOKEN_COUNT),
    NumericColumn("register_days", "user"),
    CategoricalColumn("register_days_range", "user", min_count=_TOKEN_COUNT),
    *(CategoricalColumn(f"onehot_feat{i}", "user", min_count=_TOKEN_COUNT) for i in range(18)),
    CategoricalColumn("video_id", "ad", dtype="int64", min_count=_ID_COUNT),
    CategoricalColumn("author_id", "ad", min_count=_ID_COUNT),
    CategoricalColumn("video_type", "ad", min_count=_TOKEN_COUNT),
    CategoricalColumn("upload_type", "ad", min_count=_TOKEN_COUNT),
    CategoricalColumn("upload_dt", "ad", min_count=_TOKEN_COUNT),
    CategoricalColumn("music_id", "ad", min_count=_ID_COUNT),
    CategoricalColumn("music_type", "ad", min_count=_TOKEN_COUNT),
    SequenceColumn("tag", "ad", length=3, min_count=_TOKEN_COUNT),
    NumericColumn("duration_ms", "ad"),
    NumericColumn("server_width", "ad"),
    NumericColumn("server_height", "ad"),
    CategoricalColumn("tab", "context", dtype="int64", min_count=_TOKEN_COUNT),
    CategoricalColumn("hour", "context", raw="hourmin", dtype="int64", divisor=100, min_count=_TOKEN_COUNT),
)


class KuaiRandPure:
    """KuaiRand-Pure (Gao et al., CIKM 2022): 1.4 million standard-policy impressions, four click-like tasks.

    The log is split by time: training to 4 May 2022, validation on 5 and 6 May, test from 7 May; the log of
    8 to 21 April adds training rows where it is present. User and video features are joined to it.

    These columns are never features: `play_time_ms`, `profile_stay_time`, `comment_stay_time` and the other feedback
    columns, which are known only after the impression, and the statistics file, whose counters span the whole period.
    These are left out since they are constant: `is_rand` (0 in every standard-policy row; it says which policy showed
    the row and could not be served), `is_lowactive_period`, `visible_status`. `upload_dt` stays a category: the age of
    a video at the impression would lie outside its training range on every test day.

    Args:
        folder: folder with the CSV files (plain or `.gz`), or the one that the official archive was unpacked in.
        by_time: whether the rows are sorted by the time of the impression, in memory, and have it as a column
            `time_ms`, as histories need. Defaults to `False`: they have the order of the files.

    Raises:
        FileNotFoundError: naming the file that is missing.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.KuaiRandPure("data/kuairand-pure"), "prepared/kuairand-pure")
    ```
    """

    name = "kuairand-pure"
    columns: Sequence[Column] = _COLUMNS
    tasks: Sequence[Task] = (Task("is_click"), Task("long_view"), Task("is_like"), Task("is_profile_enter"))
    # The user's own id: reports take users as independent, and rare ones share the vocabulary's id 0.
    extras: Mapping[str, str] = {"user": "int64", "date": "int32"}

    def __init__(self, folder: str | Path, by_time: bool = False) -> None:
        folder = local_path(folder)
        self._users = require_file(folder, [_USERS], _REMEDY, _SUBFOLDERS)
        self._videos = require_file(folder, [_VIDEOS], _REMEDY, _SUBFOLDERS)
        early = find_file(folder, [_EARLY_LOG], _SUBFOLDERS)
        late = require_file(folder, [_LATE_LOG], _REMEDY, _SUBFOLDERS)
        self._logs = (early, late) if early else (late,)
        self.files = (*self._logs, self._users, self._videos)
        self.settings: dict[str, bool] = {"by_time": True} if by_time else {}
        self._by_time = by_time
        self.bad_rows = 0
        self._part: tuple[Path, FileSlice] | None = None
        self._counts_side_tables = True

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield joined frames of at most `chunk_rows` rows (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        of_side_tables = bad_rows if self._counts_side_tables else BadRows(sys.maxsize)
        users = self._side_table(self._users, "user_id", self._raw("user"), of_side_tables)
        videos = self._side_table(self._videos, "video_id", self._raw("ad"), of_side_tables)
        kinds: dict[str, Kind] = {**self._raw("context"), **_IN_LOG, "date": "int64"}
        kinds |= {task.name: "label" for task in self.tasks}
        for log in self._log(kinds, chunk_rows, bad_rows, workers):
            self.bad_rows = bad_rows.count
            split = (
                pl.when(pl.col("date") <= _LAST_TRAINING_DATE)
                .then(pl.lit("train"))
                .when(pl.col("date") <= _LAST_VALIDATION_DATE)
                .then(pl.lit("validation"))
                .otherwise(pl.lit("test"))
            )
            frame = log.with_columns(split.alias("split"), user="user_id", date=pl.col("date").cast(pl.Int32))
            frame = frame.join(users, on="user_id", how="left", maintain_order="left")
            frame = frame.join(videos, on="video_id", how="left", maintain_order="left")
            yield frame.with_columns(pl.col(pl.String).fill_null(""))
        self.bad_rows = bad_rows.count

    def _log(
        self, kinds: Mapping[str, Kind], chunk_rows: int, bad_rows: BadRows, workers: int
    ) -> Iterator[pl.DataFrame]:
        files = [self._part] if self._part else [(path, None) for path in self._logs]
        wanted: dict[str, Kind] = {**kinds, **({"time_ms": "int64"} if self._by_time else {})}
        chunks = (
            log
            for path, within in files
            for log, _ in DelimitedFile(path, ",", within=within).chunks(chunk_rows, wanted, bad_rows, workers)
        )
        if not self._by_time:
            yield from chunks
            return
        rows = list(chunks)
        if rows:
            yield from pl.concat(rows).sort("time_ms", maintain_order=True).iter_slices(chunk_rows)

    def parts(self, size: int, run: Run) -> list[Self]:
        """The rows in slices of the logs, for engines (see `Dataset.parts`); each part joins the small side tables."""
        if self._by_time:
            return [self]
        cut = [(path, within) for path in self._logs for within in DelimitedFile(path, ",").slices(size, run)[0]]
        # The first part alone reports the malformed rows of the side tables, which all parts read.
        return [part_of(self, _part=part, _counts_side_tables=not number) for number, part in enumerate(cut)]

    def _raw(self, side: str) -> dict[str, Kind]:
        return {c.raw_name: c.dtype for c in self.columns if c.side == side and c.raw_name not in _IN_LOG}

    def _side_table(self, path: Path, key: str, columns: Mapping[str, Kind], bad_rows: BadRows) -> pl.DataFrame:
        kinds: dict[str, Kind] = {key: "int64", **columns}
        file = DelimitedFile(path, ",")
        table = pl.concat([frame for frame, _ in file.chunks(100_000, kinds, bad_rows)])
        repeated = table.filter(table[key].is_duplicated())
        if len(repeated):
            raise ValueError(
                f"{path}: every {key} must have one row. Received {key}={repeated[key][0]} more than once; "
                "joining it would repeat rows of the log. Remove the repeated rows."
            )
        return table

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Fetch the archive from Zenodo (45 MB, checked against its MD5) unless the files are there."""
        folder = Path(folder)
        if any(find_file(folder, [name], _SUBFOLDERS) is None for name in (_LATE_LOG, _USERS, _VIDEOS)):
            fetch_archive(folder, _URL, [_EARLY_LOG, _LATE_LOG, _USERS, _VIDEOS], _MD5, _PAGE)
        return folder
