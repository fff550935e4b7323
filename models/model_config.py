"""The constructor's arguments of the prebuilt models, as a `.keras` file holds them."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from ..layers import TableConfig
from ..schema import Schema


def model_config(model: Any) -> dict[str, Any]:
    """The arguments that all models of a table have.

    Args:
        model: a `CTRModel` or a `TwoTowerModel`.
    """
    serialize = keras.saving.serialize_keras_object
    optimizer = model.embedding_optimizer
    return {
        "name": model.name,
        "trainable": model.trainable,
        "schema": model.schema.to_dict(),
        "group_structure": {placement: serialize(layer) for placement, layer in model.group_concats.items()},
        "embedding_dim": model.embedding_dim,
        "tower_units": list(model.tower_units),
        "dropout": model.dropout,
        "embedding_optimizer": optimizer if isinstance(optimizer, str | None) else serialize(optimizer),
        "embeddings_regularizer": keras.regularizers.serialize(model.embeddings_regularizer),
        "tables": [table.get_config() for table in model.tables],
    }


def read_model_config(
    config: Mapping[str, Any], custom_objects: Any, objects: Iterable[str] = (), by_name: Iterable[str] = ()
) -> dict[str, Any]:
    """The arguments that a configuration describes.

    Args:
        config: what `get_config` returned.
        custom_objects: classes by name that Keras does not know.
        objects: arguments beside those of `model_config` that may be serialized objects. Defaults to `()`.
        by_name: arguments beside those of `model_config` that are dicts of serialized objects. Defaults to `()`.
    """

    def read(value: Any) -> Any:
        return keras.saving.deserialize_keras_object(value, custom_objects) if isinstance(value, dict) else value

    # Files of earlier versions name no tables.
    tables = [TableConfig.from_config(table) for table in config.get("tables", ())]
    found = {**config, "schema": Schema.from_dict(config["schema"]), "tables": tables}
    found |= {name: read(config[name]) for name in ("embedding_optimizer", *objects) if name in config}
    for name in ("group_structure", *(argument for argument in by_name if argument in config)):
        found[name] = {key: read(value) for key, value in config[name].items()}
    return found
