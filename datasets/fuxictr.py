"""Tables in FuxiCTR's layout: a file for each part of the rows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..schema import Task
from .kinds import CategoricalColumn, Column, NumericColumn
from .raw_files.bad_rows import BadRows
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.file_slice import FileSlice, Run, part_of
from .raw_files.official_files import require_file
from .remote_files import local_path

_SPLITS = {"train.csv": "train", "valid.csv": "validation", "test.csv": "test"}
_REMEDY = (
    "FuxiCTR and the BARS benchmark keep a table as these three files, each with the same header. BARS' own tables are "
    "at https://huggingface.co/reczoo."
)


class FuxiCTR:
    """A table in the layout of FuxiCTR and of the BARS benchmark: `train.csv`, `valid.csv` and `test.csv`.

    Each file has a header and one impression a line. The files say how the rows are split, so that results can be held
    against those that others publish for the same table.

    Args:
        folder: the folder with the three files (plain or `.gz`).
        numeric: names of the columns that are numbers. They are standardised without a logarithm, since BARS' tables
            hold them scaled already. Defaults to `()`.
        categorical: names of the columns that are tokens. `None` takes all that are neither numbers nor the label.
            Every token of the training rows gets an id. Defaults to `None`.
        label: the column with 0 or 1. Defaults to `"label"`.
        sides: side by column, `"user"`, `"ad"` or `"context"`. The others belong to the context. Defaults to `None`.
        name: name of the table. Defaults to that of the folder.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: on a column that the training file does not have, or that is named twice.

    Example:
    ```python
    frappe = gr.datasets.FuxiCTR("data/Frappe_x1", sides={"user": "user", "item": "ad"})
    table = gr.datasets.prepare(frappe, "prepared/frappe_x1")
    ```

    Reference:
        Zhu et al., *BARS: Towards Open Benchmarking for Recommender Systems*, SIGIR 2022,
        [arXiv:2205.09626](https://arxiv.org/abs/2205.09626).
    """

    extras: Mapping[str, str] = {}

    def __init__(
        self,
        folder: str | Path,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] | None = None,
        label: str = "label",
        sides: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        folder = local_path(folder)
        self.files = tuple(require_file(folder, [file], _REMEDY) for file in _SPLITS)
        present = DelimitedFile(self.files[0], ",").columns
        if categorical is None:
            categorical = [column for column in present if column != label and column not in numeric]
        named = [*numeric, *categorical, label]
        absent = sorted({*named, *(sides or {})} - set(present))
        if absent:
            raise ValueError(f"{self.files[0]} has no column {absent}. Its header: {present}.")
        twice = sorted({column for column in named if named.count(column) > 1})
        if twice:
            raise ValueError(f"A column is a number, a category or the label. Named more than once: {twice}.")
        side = {**dict.fromkeys(named, "context"), **(sides or {})}
        self.columns: Sequence[Column] = (
            *(NumericColumn(column, side[column], function="identity") for column in numeric),
            *(CategoricalColumn(column, side[column]) for column in categorical),
        )
        self.tasks: Sequence[Task] = (Task(label),)
        self.name = name or folder.name
        # What besides the files decides the rows.
        self.settings = {"numeric": [*numeric], "categorical": [*categorical], "label": label}
        self.bad_rows = 0
        self._part: tuple[Path, str, FileSlice] | None = None

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield frames of at most `chunk_rows` rows, the training file first (see `Dataset.chunks`)."""
        bad_rows = BadRows(max_bad_rows)
        kinds: dict[str, Kind] = {column.raw_name: column.dtype for column in self.columns}
        kinds |= {task.name: "label" for task in self.tasks}
        whole = [(path, split, None) for path, split in zip(self.files, _SPLITS.values(), strict=True)]
        for path, split, within in [self._part] if self._part else whole:
            file = DelimitedFile(path, ",", within=within)
            for frame, _ in file.chunks(chunk_rows, kinds, bad_rows, workers):
                self.bad_rows = bad_rows.count
                yield frame.with_columns(split=pl.lit(split))
        self.bad_rows = bad_rows.count

    def parts(self, size: int, run: Run) -> "list[FuxiCTR]":
        """The rows in slices of the three files, for engines (see `Dataset.parts`)."""
        return [
            part_of(self, _part=(path, split, within))
            for path, split in zip(self.files, _SPLITS.values(), strict=True)
            for within in DelimitedFile(path, ",").slices(size, run)[0]
        ]

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Return the folder if the files are there; otherwise say where to get them."""
        for file in _SPLITS:
            require_file(Path(folder), [file], _REMEDY)
        return Path(folder)
