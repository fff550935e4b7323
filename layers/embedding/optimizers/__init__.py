"""Optimizers of fused embedding tables: they see the touched rows only."""

from typing import Any

import keras

from .adagrad import Adagrad
from .adam import Adam
from .ftrl import FTRL
from .row_optimizer import RowOptimizer
from .rowwise_adagrad import RowwiseAdagrad
from .sgd import SGD

__all__ = ["FTRL", "SGD", "Adagrad", "Adam", "RowOptimizer", "RowwiseAdagrad", "get"]

OPTIMIZERS = {"sgd": SGD, "adagrad": Adagrad, "rowwise_adagrad": RowwiseAdagrad, "adam": Adam, "ftrl": FTRL}


def get(identifier: str | dict[str, Any] | RowOptimizer) -> RowOptimizer:
    """The given optimizer, or one with the defaults for a name of `OPTIMIZERS`."""
    if isinstance(identifier, RowOptimizer):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in OPTIMIZERS:
        return OPTIMIZERS[identifier]()
    hint = ""
    if isinstance(identifier, keras.optimizers.Optimizer):
        hint = (
            " A Keras optimizer updates whole tables; use the one of the same name in "
            "`grouprank.layers.embedding_optimizers`."
        )
    raise ValueError(
        f"A fused table's optimizer must be one of {sorted(OPTIMIZERS)} or a "
        f"grouprank.layers.embedding_optimizers.RowOptimizer. Received: {identifier!r}.{hint}"
    )
