"""Splits in file order, for files whose rows are in time order."""

import numpy as np
import polars as pl

_TRAIN_SHARE = 80
_VALIDATION_SHARE = 10
_NAMES = pl.Series("split", ["train", "validation", "test"])


def file_order_split(rows: np.ndarray, total: int) -> pl.Series:
    """`split` of rows at 0-based positions in a file of `total`: the first 80 % train, then 10 % and 10 %.

    Positions count malformed rows too, so that skipping one does not move others between splits.
    """
    bounds = [total * _TRAIN_SHARE // 100, total * (_TRAIN_SHARE + _VALIDATION_SHARE) // 100]
    return _NAMES.gather(np.searchsorted(bounds, rows, side="right"))
