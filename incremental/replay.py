"""A sample of the rows of all earlier periods, of constant size."""

from pathlib import Path

import numpy as np
import polars as pl

_FILE = "replay.parquet"


class Replay:
    """Keeps a share of a period's rows, in which all periods so far have equal parts.

    After the n-th period a part of (n − 1) / n of the sample before it stays, and a part of 1 / n of the new period's
    sample is added. So neither the size nor the time to read it grows with the log.

    Args:
        folder: a step's folder.
        share: rows to keep, as a share of a period's rows; with 0 nothing is kept.

    Example:

    >>> import tempfile
    >>> replay = Replay(Path(tempfile.mkdtemp()), 0.5)
    >>> replay.save(pl.DataFrame({"ad": ["a"]}), pl.DataFrame({"ad": ["b"]}), periods=2, seed=0)
    >>> len(replay.load()) <= 2
    True
    """

    def __init__(self, folder: Path, share: float) -> None:
        self._file, self._share = folder / _FILE, share

    def load(self) -> pl.DataFrame | None:
        """The sample that the step has left, `None` if there is none."""
        return pl.read_parquet(self._file) if self._share and self._file.is_file() else None

    def keep(self, sample: pl.DataFrame | None) -> None:
        """Write a sample as it is.

        Args:
            sample: what `load` gave.
        """
        if sample is not None:
            sample.write_parquet(self._file)

    def save(self, before: pl.DataFrame | None, sample: pl.DataFrame, periods: int, seed: int) -> None:
        """Write the sample that the next step trains.

        Args:
            before: the sample so far, `None` in the first period.
            sample: the share of the new period's rows.
            periods: number of periods, the new one included.
            seed: of this step.
        """
        if not self._share:
            return
        if before is not None:
            generator = np.random.default_rng(seed)
            stays = generator.random(len(before)) < (periods - 1) / periods
            comes = generator.random(len(sample)) < 1 / periods
            sample = pl.concat([before.filter(pl.Series(stays)), sample.filter(pl.Series(comes))])
        self.keep(sample)
