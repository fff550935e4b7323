"""Feature interaction networks by name."""

from typing import Any

import keras

from ...schema import Schema
from .backbone import Backbone
from .dcn_v2 import DCNv2
from .mlp import MLPBackbone

BACKBONES: dict[str, type[Backbone]] = {"dcn_v2": DCNv2, "mlp": MLPBackbone}


def get(identifier: Any, schema: Schema, **arguments: Any) -> Backbone:
    """The backbone of a name (for a table, made with `arguments`), of a Keras config, or the given instance."""
    if isinstance(identifier, Backbone):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in BACKBONES:
        return BACKBONES[identifier].from_schema(schema, **arguments)
    raise ValueError(
        f"`backbone` must be one of {sorted(BACKBONES)} or an instance of a `grouprank.models.Backbone` subclass. "
        f"Received: backbone={identifier!r}."
    )


__all__ = ["BACKBONES", "Backbone", "DCNv2", "MLPBackbone", "get"]
