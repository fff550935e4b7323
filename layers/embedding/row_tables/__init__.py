"""How each backend keeps the rows of a fused table, looks them up and updates them in place."""

import importlib

import keras

from .exchange import Exchange

_backend = keras.backend.backend()
_store = importlib.import_module(f"{__name__}.{_backend}_row_store")
RowStore = _store.RowStore
fill = _store.fill
RowTable = importlib.import_module(f"{__name__}.{_backend}_row_table").RowTable

__all__ = ["Exchange", "RowStore", "RowTable", "fill"]
