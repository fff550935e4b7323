"""A glance at a loader."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def some_batches(data: Any, rows: int | None) -> Iterable[Any]:
    """Batches with about the rows wanted, spread over a loader; all batches of another iterable.

    Args:
        data: a `keras.utils.PyDataset`, or another iterable of batches that start with columns.
        rows: how many rows are wanted, `None` for all.
    """
    if not isinstance(data, keras.utils.PyDataset):
        return data
    wanted = len(data)
    if rows is not None:
        wanted = min(wanted, -(-rows // len(next(iter(data[0][0].values())))))
    # By number: not every dataset says by an `IndexError` where it ends.
    return (data[int(index)] for index in np.linspace(0, len(data) - 1, wanted))
