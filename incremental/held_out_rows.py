"""Rows that no step has trained, to fit calibration layers to."""

from pathlib import Path

import numpy as np
import polars as pl

from .period_rows import Chunk

_FILE = "held_out.parquet"
_PERIOD = "period of the row"


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
    >>> today.save(None, pl.DataFrame({"ad": ["a"]}), period=1)
    >>> tomorrow.save(today.load(), pl.DataFrame({"ad": ["b"]}), period=2)
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

    def save(self, before: pl.DataFrame | None, rows: pl.DataFrame, period: int) -> None:
        """Write what the next step has.

        Args:
            before: the rows so far, `None` in the first period.
            rows: the new period's.
            period: number of the new period.
        """
        rows = rows.with_columns(pl.lit(period, pl.Int64).alias(_PERIOD))
        kept = rows if before is None else pl.concat([before, rows])
        self.keep(kept.filter(pl.col(_PERIOD) > period - self._periods))

    @staticmethod
    def chunks(rows: pl.DataFrame | None) -> list[Chunk]:
        """The rows as chunks to score: one, or none.

        Args:
            rows: what `load` gave.
        """
        return [] if rows is None else [Chunk(rows.drop(_PERIOD), pl.DataFrame(), np.arange(len(rows)))]
