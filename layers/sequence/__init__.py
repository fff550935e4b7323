"""Encoders of user histories by name."""

from typing import Any

import keras

from .causal_transformer import CausalTransformer
from .dice import Dice
from .hstu import HSTU
from .hstu_block import HSTUBlock
from .mean_pooling import MeanPooling
from .sequence_encoder import SequenceEncoder
from .target_attention import TargetAttention
from .weighted_pooling import WeightedPooling

SEQUENCE_ENCODERS: dict[str, type[SequenceEncoder]] = {
    "mean": MeanPooling,
    "target_attention": TargetAttention,
    "causal_transformer": CausalTransformer,
    "hstu": HSTU,
}


def get(identifier: str | dict[str, Any] | SequenceEncoder, **arguments: Any) -> SequenceEncoder:
    """The encoder of a name (made with `arguments`), of a Keras config, or the given instance."""
    if isinstance(identifier, SequenceEncoder):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in SEQUENCE_ENCODERS:
        return SEQUENCE_ENCODERS[identifier](**arguments)
    raise ValueError(
        f"A sequence encoder must be one of {sorted(SEQUENCE_ENCODERS)} or an instance of a "
        f"`grouprank.layers.SequenceEncoder` subclass. Received: {identifier!r}."
    )


__all__ = [
    "HSTU",
    "SEQUENCE_ENCODERS",
    "CausalTransformer",
    "Dice",
    "HSTUBlock",
    "MeanPooling",
    "SequenceEncoder",
    "TargetAttention",
    "WeightedPooling",
    "get",
]
