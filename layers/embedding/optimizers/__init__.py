"""Optimizers of fused embedding tables: they see the touched rows only."""

from typing import Any

import keras

from .adagrad import Adagrad
from .adam import Adam
from .row_optimizer import RowOptimizer
from .rowwise_adagrad import RowwiseAdagrad
from .sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "RowOptimizer", "RowwiseAdagrad", "get"]

OPTIMIZERS = {"sgd": SGD, "adagrad": Adagrad, "rowwise_adagrad": RowwiseAdagrad, "adam": Adam}


def get(identifier: str | dict[str, Any] | RowOptimizer) -> RowOptimizer:
    """The given optimizer, or one with the defaults for `"sgd"`, `"adagrad"`, `"rowwise_adagrad"` or `"adam"`."""
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
