"""Transforms fitted to the first periods of a log."""

from collections.abc import Iterable
from pathlib import Path

from ..datasets import GrowingColumn, TableDescription, TableTransforms
from ..datasets.transforms.transform_fitter import TransformFitter
from .period import Period
from .period_rows import PeriodRows


def fit_transforms(
    description: TableDescription | str | Path,
    periods: Iterable[Period],
    chunk_rows: int = 100_000,
    max_bad_rows: int = 0,
) -> TableTransforms:
    """Fit the transforms of a log to some of its periods, usually the first ones.

    The moments of numbers and the vocabularies of `categorical` columns stay as they are found here, since they are
    part of what the model learns. `growing` columns begin without tokens: each period that is trained adds its own.

    Args:
        description: what the columns are: a `TableDescription`, or the path of its YAML file.
        periods: the periods to fit to. They may be trained afterwards.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: rows of a period that do not fit the description and may be skipped. Defaults to 0.

    Raises:
        ValueError: if there is no period, or a period does not fit the description.

    Example:

    >>> import tempfile, polars as pl
    >>> from .periods import periods
    >>> folder = Path(tempfile.mkdtemp())
    >>> pl.DataFrame({"ad": ["a", "b"], "click": [0, 1]}).write_parquet(folder / "2024-01-31.parquet")
    >>> description = TableDescription.from_dict(
    ...     {"features": [{"name": "ad", "kind": "categorical", "side": "ad"}], "tasks": ["click"]}
    ... )
    >>> fit_transforms(description, periods(folder)).vocabulary_sizes
    {'ad': 3}
    """
    description = TableDescription.read(description) if not isinstance(description, TableDescription) else description
    rows = PeriodRows(description, chunk_rows, max_bad_rows)
    fitter = TransformFitter(rows.typed.columns, description.tasks)
    growing = {column.name for column in rows.typed.columns if isinstance(column, GrowingColumn)}
    read = False
    for period in periods:
        for chunk in rows.chunks(period):
            summary = fitter.summarize(chunk.frame)
            fitter.add({name: part for name, part in summary.items() if name not in growing})
            read = True
    if not read:
        raise ValueError("`periods` must hold at least one period with rows, to fit transforms to. Received none.")
    return fitter.finish()
