"""How each backend keeps a fused table, looks rows up and updates them in place."""

import importlib

import keras

_backend = importlib.import_module(f"{__name__}.{keras.backend.backend()}_row_table")
RowTable = _backend.RowTable
fill = _backend.fill

__all__ = ["RowTable", "fill"]
