"""The layout that Criteo's click logs share: a label, 13 counts and 26 hashed categories, separated by tabs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .kinds import CategoricalColumn, Column, NumericColumn
from .raw_files.delimited_file import DelimitedFile, Kind
from .raw_files.file_slice import FileSlice

LABEL = "click"
NUMERIC = [f"I{i}" for i in range(1, 14)]
CATEGORICAL = [f"C{i}" for i in range(1, 27)]

# An id with fewer than ten rows learns noise. The winning solution and FuxiCTR's benchmark use this threshold.
_TOKEN_COUNT = 10


def criteo_columns(assumed: Mapping[str, str], sides: Mapping[str, str] | None) -> tuple[Column, ...]:
    """The columns, each on its side.

    Args:
        assumed: side of every column.
        sides: sides of columns to be placed differently, or `None`.

    Raises:
        ValueError: on an unknown column in `sides`.
    """
    if unknown := sorted(set(sides or {}) - set(assumed)):
        raise ValueError(
            f"`sides` names columns that Criteo's file does not have. Received: {unknown}. Expected: I1..I13, C1..C26."
        )
    chosen = {**assumed, **(sides or {})}
    numeric = [NumericColumn(name, chosen[name]) for name in NUMERIC]
    categorical = [CategoricalColumn(name, chosen[name], min_count=_TOKEN_COUNT) for name in CATEGORICAL]
    return (*numeric, *categorical)


def criteo_file(
    path: Path, columns: Sequence[Column], within: FileSlice | None = None
) -> tuple[DelimitedFile, dict[str, Kind]]:
    """A file, and what its columns hold.

    Args:
        path: the file.
        columns: made by `criteo_columns`.
        within: the lines that are read. Defaults to `None`, all of them.
    """
    file = DelimitedFile(path, "\t", [LABEL, *NUMERIC, *CATEGORICAL], quoted=False, within=within)
    return file, {LABEL: "label", **{column.raw_name: column.dtype for column in columns}}
