"""A glance at a loader."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def some_batches(data: Any, rows: int) -> Iterable[Any]:
    """Batches with about the rows wanted, spread over a loader; all batches of another iterable.

    Args:
        data: a `keras.utils.PyDataset`, or another iterable of batches that start with columns.
        rows: how many rows are wanted.
    """
    if not isinstance(data, keras.utils.PyDataset):
        return data
    batch = len(next(iter(data[0][0].values())))
    wanted = min(len(data), -(-rows // batch))
    return (data[int(index)] for index in np.linspace(0, len(data) - 1, wanted))
