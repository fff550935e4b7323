"""How each backend keeps the rows of a fused table, looks them up and updates them in place."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras

from ....distribution import world_size
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
    if placement == "rows" and _backend == "torch" and world_size() > 1:
        sharded = importlib.import_module(f"{__name__}.torch_sharded_table")
        store = sharded.ShardedRowStore(layer, num_rows, width, initializer, dtype, slots)
        return RowTable(layer, store, sharded.ShardedExchange(num_rows, dtype))
    store = RowStore(layer, num_rows, width, initializer, dtype, slots)
    return RowTable(layer, store, Exchange())


__all__ = ["Exchange", "RowStore", "RowTable", "fill", "make_row_table"]
