"""Reads the rows of periods as a table's description says."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ..datasets import TableDescription
from ..datasets.raw_files.bad_rows import BadRows
from ..datasets.typed_rows import RowProblems, TypedRows, check_present
from .period import Period


class Chunk(NamedTuple):
    """Some rows of a period.

    Args:
        frame: the columns that the transforms read, and the labels by task, null where they are not known.
        extras: further columns as they stand in the file.
        numbers: numbers of its rows in the period, counted from 0.
    """

    frame: pl.DataFrame
    extras: pl.DataFrame
    numbers: np.ndarray

    def of(self, rows: np.ndarray) -> "Chunk":
        """Some of the rows.

        Args:
            rows: a mask of them.
        """
        places = np.flatnonzero(rows)
        return Chunk(self.frame[places], self.extras[places] if self.extras.width else self.extras, self.numbers[rows])


class PeriodRows:
    """Reads periods in chunks of typed rows.

    Args:
        description: what the columns are.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: rows of a period that do not fit the description and may be skipped. Defaults to 0.

    Example:

    ```python
    rows = PeriodRows(gr.datasets.TableDescription.read("clicks.yaml"))
    for period in gr.incremental.periods("clicks"):
        print(period.name, [len(chunk.frame) for chunk in rows.chunks(period)])
    ```
    """

    def __init__(self, description: TableDescription, chunk_rows: int = 100_000, max_bad_rows: int = 0) -> None:
        self.typed = TypedRows(description)
        self._chunk_rows, self._max_bad_rows = chunk_rows, max_bad_rows

    def chunks(self, period: Period, extras: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the rows of a period in the order of its files.

        A period whose files have no column of labels at all has no labels yet.

        Args:
            period: the period.
            extras: names of further columns to read. Defaults to `()`.

        Raises:
            ValueError: on a column that is missing or of a type that cannot be what it is described as; names the
                period, the file and the column.
        """
        labels = self.typed.description.labels
        labelled = self.check(period, extras)
        needed = [raw for raw in self.typed.description.raw_columns if labelled or raw not in labels.values()]
        needed = [raw for raw in needed if raw != self.typed.description.time or raw in self.typed.sources.values()]
        bad_rows = BadRows(self._max_bad_rows)
        first = 0
        for raw, numbers, path in period.chunks(self._chunk_rows, [*dict.fromkeys([*needed, *extras])], bad_rows):
            if not labelled:
                unknown = {label: pl.lit(None, pl.Float32) for label in labels.values()}
                raw = raw.with_columns(**unknown)
            frame, more = self._fitting(period, raw, numbers, path, extras, bad_rows)
            if len(frame):
                yield Chunk(frame, more, np.arange(first, first + len(frame)))
                first += len(frame)

    def check(self, period: Period, extras: Sequence[str] = ()) -> bool:
        """Raise unless the files of a period have the columns of the description; whether they have labels.

        Args:
            period: the period.
            extras: names of further columns that must be there. Defaults to `()`.
        """
        description = self.typed.description
        names = set(description.labels.values())
        found = period.columns()
        labelled = any(names & set(columns) for columns in found.values())
        time = description.time
        for path, columns in found.items():
            needed = {raw: owner for raw, owner in description.raw_columns.items() if labelled or raw not in names}
            if time is not None and needed.get(time) == "`time`":
                del needed[time]  # only splits are made by it
            needed |= dict.fromkeys(extras, "the call")
            try:
                check_present(path, columns, needed)
            except ValueError as error:
                raise ValueError(f"Period {period.name}: {error} The columns of a log must not change.") from error
        return labelled

    def has_labels(self, period: Period) -> bool:
        """Whether any label of a period is known.

        Args:
            period: the period.
        """
        if not self.check(period):
            return False
        labels = list(dict.fromkeys(self.typed.description.labels.values()))
        chunks = period.chunks(self._chunk_rows, labels, BadRows(self._max_bad_rows))
        frames = (self.typed.present(raw) for raw, _, _ in chunks)
        return any(values.null_count() < len(values) for frame in frames for values in frame)

    def _fitting(
        self,
        period: Period,
        raw: pl.DataFrame,
        numbers: np.ndarray,
        path: Path,
        extras: Sequence[str],
        bad_rows: BadRows,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows that fit the description."""
        problems = RowProblems(raw, numbers)
        try:
            columns = self.typed(raw, problems)
            bad_rows.add(path, sorted(problems.found.items()))
        except ValueError as error:
            raise ValueError(f"Period {period.name}: {error}") from error
        frame = pl.DataFrame([values.alias(name) for name, values in columns.items()])
        return problems.fitting(frame), problems.fitting(raw).select(extras)
