"""Ali-CCP: 85 million impressions of Taobao's recommender with clicks and purchases."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column, SequenceColumn
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.feature_lists import FeatureLists
from .raw_files.hide_unobserved import hide_unobserved
from .raw_files.official_files import find_file, require_file
from .remote_files import local_path

_PAGE = "https://tianchi.aliyun.com/dataset/408"
_REMEDY = (
    f"Tianchi asks for a login: get sample_train.tar.gz and sample_test.tar.gz from {_PAGE}, unpack them, and pass the "
    "folder that holds the four CSV files or the folders sample_train and sample_test."
)
_SKELETON = "sample_skeleton_{}.csv"
_COMMON = "common_features_{}.csv"
_PARTS = ("train", "test")

_SESSION = "common_feature_index"
_SKELETON_FIELDS = ["sample_id", "click", "purchase", _SESSION, "feature_num", "features"]
_COMMON_FIELDS = [_SESSION, "feature_num", "features"]
# A row of the common features has some 500 of them.
_COMMON_ROWS = 4000
_VALIDATION_FROM = 0.9

# Field of the files to feature: those of the session (the common features), then those of the impression.
_PROFILE = {
    "101": "user_id",
    "121": "user_profile",
    "122": "user_group",
    "124": "user_gender",
    "125": "user_age",
    "126": "user_consumption_1",
    "127": "user_consumption_2",
    "128": "user_occupied",
    "129": "user_geography",
}
_HISTORY = {
    "109_14": "user_categories",
    "110_14": "user_shops",
    "127_14": "user_brands",
    "150_14": "user_intentions",
}
_ITEM = {"205": "item_id", "206": "item_category", "207": "item_shop", "216": "item_brand"}
_ITEM_LISTS = {"210": "item_intentions"}
_CONTEXT = {
    "508": "user_item_category",
    "509": "user_item_shop",
    "702": "user_item_brand",
    "853": "user_item_intention",
    "301": "position",
}
_TOKEN_COUNT = 10
_ITEM_LIST_LENGTH = 10


class AliCCP:
    r"""Ali-CCP (Ma et al., SIGIR 2018): impressions of Taobao with clicks and the purchases that followed.

    Two pairs of CSV files without a header, for training and test, 42 and 43 million impressions:

    - `sample_skeleton_*.csv`: sample id, click, purchase, common feature index, feature number, feature list;
    - `common_features_*.csv`: common feature index, feature number, feature list: what the impressions of a user have
      in common.

    A feature list is field, `\x02`, id, `\x03`, value, joined by `\x01`. The fields, by the names they get here: of
    the user 101 `user_id`, 121 `user_profile`, 122 `user_group`, 124 `user_gender`, 125 `user_age`, 126 and 127
    `user_consumption_1` and `_2`, 128 `user_occupied`, 129 `user_geography`, and the categories, shops, brands and
    intentions of past behaviour 109_14, 110_14, 127_14 and 150_14; of the item 205 `item_id`, 206 `item_category`,
    207 `item_shop`, 210 `item_intentions`, 216 `item_brand`; of the context 301 `position` and the combinations of
    user and item 508, 509, 702 and 853. Past behaviour and 210 have several ids per row and become sequences: past
    behaviour by falling value, so that the strongest ids are the ones kept. Other values are not used.

    Two tasks, `click` and `purchase` given a click; a purchase is missing without a click. Impressions with a
    purchase but no click, known noise of this file, are left out, as in the published comparisons.

    The split is the official one; the last tenth of the training file validates. That file is sorted by the
    hashed common feature index, so the tenth is a random one of users, not a later one.

    Memory: the common features of one file at a time are held as a table with the first `history_length` ids of each
    history. At the default that is about 650 bytes per row, 0.5 GB for the 730 thousand rows of the training file. With
    the chunks in work a pass stays below 2 GB. The impressions are streamed. Every pass over the data parses all four
    files (about 40 GB), for which two cores need tens of minutes. Prepared columns take 440 bytes per impression, 37 GB
    in all; a shorter history takes less.

    The files are available from https://tianchi.aliyun.com/dataset/408 after a login, under the terms stated there
    (research use).

    Args:
        folder: folder with the four files (plain or `.gz`), or with the folders `sample_train` and `sample_test`.
        history_length: ids kept of each kind of past behaviour. Defaults to `20`.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: if `history_length` is not positive.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.AliCCP("data/ali-ccp"), "prepared/ali-ccp")
    ```

    Reference:
        Ma et al., *Entire Space Multi-Task Model*, [arXiv:1804.07931](https://arxiv.org/abs/1804.07931).
    """

    name = "ali-ccp"
    tasks: Sequence[Task] = (Task("click"), Task("purchase", given="click"))
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path, history_length: int = 20) -> None:
        self.columns: Sequence[Column] = (
            *(CategoricalColumn(name, "user", min_count=_TOKEN_COUNT) for name in _PROFILE.values()),
            *(
                SequenceColumn(name, "user", length=history_length, min_count=_TOKEN_COUNT)
                for name in _HISTORY.values()
            ),
            *(CategoricalColumn(name, "ad", min_count=_TOKEN_COUNT) for name in _ITEM.values()),
            *(
                SequenceColumn(name, "ad", length=_ITEM_LIST_LENGTH, min_count=_TOKEN_COUNT)
                for name in _ITEM_LISTS.values()
            ),
            *(CategoricalColumn(name, "context", min_count=_TOKEN_COUNT) for name in _CONTEXT.values()),
        )
        lengths = {column.name: column.length for column in self.columns if isinstance(column, SequenceColumn)}
        self._session = FeatureLists(_PROFILE, _HISTORY, lengths)
        self._impression = FeatureLists({**_ITEM, **_CONTEXT}, _ITEM_LISTS, lengths)
        self._files = {part: self._require(local_path(folder), part) for part in _PARTS}
        self.files = tuple(path for pair in self._files.values() for path in pair)
        self.bad_rows = 0
        self._train_rows: int | None = None

    @staticmethod
    def _require(folder: Path, part: str) -> tuple[Path, Path]:
        places = ("", f"sample_{part}")
        skeleton, common = (require_file(folder, [name.format(part)], _REMEDY, places) for name in (_SKELETON, _COMMON))
        return skeleton, common

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield joined frames of at most `chunk_rows` rows, the training file first (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        for part, (skeleton, common) in self._files.items():
            sessions = self._sessions(common, bad_rows, workers)
            for frame, lines in self._impressions(skeleton, chunk_rows, bad_rows, workers):
                self.bad_rows = bad_rows.count
                frame = frame.with_columns(self._split(part, skeleton, lines))
                frame = frame.filter((pl.col("click") == 1.0) | (pl.col("purchase") == 0.0))
                frame = frame.join(sessions, on=_SESSION, how="left", maintain_order="left").drop(_SESSION)
                if len(frame):
                    yield hide_unobserved(frame, self.tasks).with_columns(pl.col(pl.String).fill_null(""))
        self.bad_rows = bad_rows.count

    def _split(self, part: str, skeleton: Path, lines: np.ndarray) -> pl.Series:
        if part == "test":
            return pl.Series("split", ["test"]).new_from_index(0, len(lines))
        if self._train_rows is None:
            self._train_rows = DelimitedFile(skeleton, ",", _SKELETON_FIELDS, quoted=False).count_rows()
        late = lines > self._train_rows * _VALIDATION_FROM
        return pl.Series("split", ["train", "validation"]).gather(late.astype("uint32"))

    def _sessions(self, path: Path, bad_rows: BadRows, workers: int) -> pl.DataFrame:
        kinds: dict[str, Kind] = {_SESSION: "string", "feature_num": "int64", "features": "string"}
        chunks = DelimitedFile(path, ",", _COMMON_FIELDS, quoted=False).chunks(_COMMON_ROWS, kinds, bad_rows, workers)
        table = pl.concat(frame for frame, _ in self._session.expand(path, chunks, bad_rows, workers))
        repeated = table.filter(table[_SESSION].is_duplicated())
        if len(repeated):
            raise ValueError(
                f"{path}: every {_SESSION} must have one row. Received {repeated[_SESSION][0]!r} more than once; "
                "joining it would repeat impressions. Remove the repeated rows."
            )
        return table

    def _impressions(
        self, path: Path, chunk_rows: int, bad_rows: BadRows, workers: int
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        kinds: dict[str, Kind] = {
            "click": "label",
            "purchase": "label",
            _SESSION: "string",
            "feature_num": "int64",
            "features": "string",
        }
        file = DelimitedFile(path, ",", _SKELETON_FIELDS, quoted=False)
        chunks = file.chunks(chunk_rows, kinds, bad_rows, workers)
        return self._impression.expand(path, chunks, bad_rows, workers)

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if the files are there; otherwise say how to get them, for Tianchi asks for a login."""
        folder = Path(folder)
        for part in _PARTS:
            for name in (_SKELETON, _COMMON):
                if find_file(folder, [name.format(part)], ("", f"sample_{part}")) is None:
                    raise PermissionError(f"Ali-CCP cannot be fetched without an account. {_REMEDY}")
        return folder
