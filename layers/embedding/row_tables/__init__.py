"""How each backend keeps the rows of a fused table, looks them up and updates them in place."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras

from ....distribution.replicas import found_devices
from .base_row_table import BaseRowTable
from .exchange import Exchange

_backend = keras.backend.backend()
_store = importlib.import_module(f"{__name__}.{_backend}_row_store")
RowStore = _store.RowStore
fill = _store.fill
RowTable = importlib.import_module(f"{__name__}.{_backend}_row_table").RowTable


def make_row_table(
    layer: keras.layers.Layer,
    placement: str,
    num_rows: int,
    width: int,
    initializer: Any,
    dtype: str,
    slots: Mapping[str, tuple[int, Any]],
) -> BaseRowTable:
    """The table of a layer, with its rows in a store.

    Args:
        layer: layer that gets the weights.
        placement: `"device"` or `"rows"`, see `FusedEmbedding`.
        num_rows: rows of the table.
        width: width of a row.
        initializer: initializer of the table.
        dtype: dtype of the table.
        slots: slot name to width and initializer.
    """
    found = found_devices() if placement == "rows" else None
    if found is not None:
        if _backend == "tensorflow":
            raise RuntimeError(
                f"The rows of a fused table cannot be dealt over devices on TensorFlow. Received: {found}. Set "
                "KERAS_BACKEND=jax and use keras.distribution.DataParallel, or KERAS_BACKEND=torch and torchrun. "
                "TensorFlow exports and serves what they trained."
            )
        sharded = importlib.import_module(f"{__name__}.{_backend}_sharded_table")
        return sharded.make_sharded_table(layer, num_rows, width, initializer, dtype, slots)
    store = RowStore(layer, num_rows, width, initializer, dtype, slots)
    return RowTable(layer, store, Exchange())


__all__ = ["Exchange", "RowStore", "RowTable", "fill", "make_row_table"]
