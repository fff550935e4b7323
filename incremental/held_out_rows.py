"""Rows that no step has trained, to fit calibration layers to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from .period_rows import Chunk

_FILE = "held_out.parquet"
# Which row it is: how many periods were trained then, the name of its period, and its number there.
_COUNT, _PERIOD, _NUMBER = "count of periods", "period of the row", "number of the row"


class HeldOutRows:
    """Keeps the rows that the last periods held out of training.

    One period holds out few rows, and rates differ from day to day. So the rows of several periods calibrate a model
    better than those of the newest one alone (`docs/calibration.md`). Older ones are dropped, so that neither the size
    nor the time to predict the rows grows with the log.

    Args:
        folder: a step's folder.
        periods: number of periods whose rows are kept. Defaults to 7.

    Example:

    >>> import tempfile
    >>> today, tomorrow = (HeldOutRows(Path(tempfile.mkdtemp()), periods=1) for _ in range(2))
    >>> today.save(None, pl.DataFrame({"ad": ["a"]}), np.array([7]), "2024-01-31", count=1)
    >>> tomorrow.save(today.load(), pl.DataFrame({"ad": ["b"]}), np.array([9]), "2024-02-01", count=2)
    >>> [chunk.frame["ad"].to_list() for chunk in tomorrow.chunks(tomorrow.load())]
    [['b']]
    """

    def __init__(self, folder: Path, periods: int = 7) -> None:
        self._file, self._periods = folder / _FILE, periods

    def load(self) -> pl.DataFrame | None:
        """The rows that the step has left, `None` if there are none."""
        return pl.read_parquet(self._file) if self._file.is_file() else None

    def keep(self, rows: pl.DataFrame | None) -> None:
        """Write rows as they are.

        Args:
            rows: what `load` gave.
        """
        if rows is not None:
            rows.write_parquet(self._file)

    def save(
        self, before: pl.DataFrame | None, rows: pl.DataFrame, numbers: np.ndarray, period: str, count: int
    ) -> None:
        """Write what the next step has.

        Args:
            before: the rows so far, `None` in the first period.
            rows: the new period's.
            numbers: their numbers in the period.
            period: name of the new period.
            count: number of periods, the new one included.
        """
        rows = rows.with_columns(
            pl.lit(count, pl.Int64).alias(_COUNT),
            pl.lit(period, pl.String).alias(_PERIOD),
            pl.Series(_NUMBER, numbers, pl.Int64),
        )
        kept = rows if before is None else pl.concat([before, rows])
        self.keep(kept.filter(pl.col(_COUNT) > count - self._periods))

    @staticmethod
    def with_late_labels(
        kept: pl.DataFrame | None, late: pl.DataFrame, numbers: np.ndarray, period: str, labels: Sequence[str]
    ) -> tuple[pl.DataFrame | None, np.ndarray]:
        """The rows with labels that arrived since, and which of these labels are theirs.

        Args:
            kept: what `load` gave.
            late: rows of a period with labels that were not known, null where nothing is new.
            numbers: their numbers in the period.
            period: name of the period.
            labels: the columns of labels.

        Returns:
            The rows, and a mask of the late ones that are among them. Those must not be trained either.
        """
        if kept is None:
            return None, np.zeros(len(late), bool)
        new = late.select(pl.col(label).alias(f"late {label}") for label in labels).with_columns(
            pl.lit(period, pl.String).alias(_PERIOD), pl.Series(_NUMBER, numbers, pl.Int64)
        )
        theirs = np.isin(numbers, kept.filter(pl.col(_PERIOD) == period)[_NUMBER].to_numpy())
        joined = kept.join(new, on=[_PERIOD, _NUMBER], how="left", maintain_order="left")
        replaced = [pl.coalesce(f"late {label}", label).alias(label) for label in labels]
        return joined.with_columns(replaced).select(kept.columns), theirs

    @staticmethod
    def chunks(rows: pl.DataFrame | None) -> list[Chunk]:
        """The rows as chunks to score: one, or none.

        Args:
            rows: what `load` gave.
        """
        return (
            [] if rows is None else [Chunk(rows.drop(_COUNT, _PERIOD, _NUMBER), pl.DataFrame(), np.arange(len(rows)))]
        )
