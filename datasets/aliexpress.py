"""AliExpress Searching System: search results of one country with clicks and conversions."""

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
from .remote_files import local_path

_PAGE = "https://tianchi.aliyun.com/dataset/74690"
_PROCESSED = "https://github.com/easezyc/Multitask-Recommendation-Library"
_REMEDY = (
    f"Get the processed release that {_PROCESSED} links (or the original after a login at {_PAGE}, joined by the "
    "script of that library), and pass the folder of one country, e.g. AliExpress_NL."
)
_TRAIN = "train.csv"
_TEST = "test.csv"
_FILES = (_TRAIN, _TEST)
_TRAIN_SHARE = 0.9

# What the release's own script took from the file of users and queries; the rest is from the file of items.
_USER_CATEGORIES = 9
_USER_NUMBERS = 23
_CATEGORIES = 16
_NUMBERS = 63
_TOKEN_COUNT = 5

_COLUMNS: tuple[Column, ...] = (
    *(
        CategoricalColumn(f"categorical_{i}", "user" if i <= _USER_CATEGORIES else "ad", min_count=_TOKEN_COUNT)
        for i in range(1, _CATEGORIES + 1)
    ),
    *(
        NumericColumn(f"numerical_{i}", "user" if i <= _USER_NUMBERS else "ad", function="identity")
        for i in range(1, _NUMBERS + 1)
    ),
)


class AliExpress:
    """AliExpress Searching System (Li et al., CIKM 2020): search results of one country, clicks and conversions.

    This reads the processed release that most multi-task libraries use. It has a folder per country (`AliExpress_NL`,
    `_ES`, `_FR`, `_US`) with `train.csv` and `test.csv`, both with the header `search_id`, `categorical_1` …
    `categorical_16`, `numerical_1` … `numerical_63`, `click`, `conversion`. The original has these in two files, of
    users with their queries and of items with the outcome (0 shown, 1 clicked, 2 bought); the script that joined them
    tells the sides: `categorical_1` to `_9` and `numerical_1` to `_23` are of the user and the query, the others of the
    item. All columns are anonymous, the numbers mostly in [0, 1]. `search_id` names one page of results and is not a
    feature.

    Two tasks, `click` and `conversion` given a click; a conversion is missing without a click.

    The test file is the official one, later than the training file. The last tenth of the training file validates.

    The processed release is linked from https://github.com/easezyc/Multitask-Recommendation-Library (Google Drive
    and Baidu), the original is on https://tianchi.aliyun.com/dataset/74690 after a login, under the terms stated
    there (research use).

    Args:
        folder: folder of one country with `train.csv` and `test.csv` (plain or `.gz`).

    Raises:
        FileNotFoundError: naming the file that is missing.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.AliExpress("data/AliExpress_NL"), "prepared/aliexpress-nl")
    ```

    Reference:
        Li et al., *Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task Relationships in the
        Label Space*, CIKM 2020.
    """

    name = "aliexpress"
    columns: Sequence[Column] = _COLUMNS
    tasks: Sequence[Task] = (Task("click"), Task("conversion", given="click"))
    extras: Mapping[str, str] = {}

    def __init__(self, folder: str | Path) -> None:
        folder = local_path(folder)
        countries = sorted(path.parent.name for path in folder.glob(f"AliExpress_*/{_TRAIN}*"))
        if countries and find_file(folder, [_TRAIN]) is None:
            raise FileNotFoundError(
                f"{folder} has no {_TRAIN} but folders of countries. Pass one of them, e.g. {folder / countries[0]}. "
                f"Found: {countries}."
            )
        self.files = tuple(require_file(folder, [name], _REMEDY) for name in _FILES)
        self.bad_rows = 0
        self._train_rows: int | None = None
        self._part: tuple[Path, FileSlice] | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows, the training file first (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        kinds: dict[str, Kind] = {column.raw_name: column.dtype for column in self.columns}
        kinds |= {task.name: "label" for task in self.tasks}
        train = self.files[0]
        if self._train_rows is None:
            self._train_rows = DelimitedFile(train, ",").count_rows()
        for path, within in [self._part] if self._part else [(path, None) for path in self.files]:
            file = DelimitedFile(path, ",", within=within)
            for frame, lines in file.chunks(chunk_rows, kinds, bad_rows, workers):
                self.bad_rows = bad_rows.count
                if path == train:
                    late = lines - file.header_lines > self._train_rows * _TRAIN_SHARE
                    split = pl.Series("split", ["train", "validation"]).gather(late.astype("uint32"))
                else:
                    split = pl.Series("split", ["test"]).new_from_index(0, len(frame))
                yield hide_unobserved(frame, self.tasks).with_columns(split)
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[AliExpress]":
        """The rows in slices of both files, for engines (see `Dataset.parts`)."""
        cut = {path: DelimitedFile(path, ",").slices(size, run) for path in self.files}
        rows = cut[self.files[0]][1]
        return [
            part_of(self, _part=(path, within), _train_rows=rows)
            for path, (slices, _) in cut.items()
            for within in slices
        ]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if the files are there; otherwise say how to get them: no address serves them directly."""
        folder = Path(folder)
        if any(find_file(folder, [name]) is None for name in _FILES):
            raise PermissionError(f"AliExpress cannot be fetched by a program. {_REMEDY}")
        return folder
