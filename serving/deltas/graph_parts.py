"""What a version's graph holds as constants."""

import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras

from ...datasets import TableTransforms

_PACKAGES = ("grouprank", "keras", "tensorflow")
# What a config says that is in no graph: how a model was built and compiled, what its ids stand for, and the numbers by
# which Keras finds one object in several places.
_NOT_IN_GRAPHS = ("build_config", "compile_config", "vocabulary", "shared_object_id")


def graph_parts(model: Any, transforms: TableTransforms | None, table_dtype: str, explanations: bool) -> dict[str, str]:
    """A short text for each part of what decides a version's graph.

    Values of variables and lines of vocabularies are left out. So a version becomes another one of the same texts by
    other values and lines alone.

    Args:
        model: the model.
        transforms: what stands before it, or `None`.
        table_dtype: see `export`.
        explanations: see `export`.
    """
    constants: dict[str, Any] | None = None
    if transforms is not None:
        constants = {name: transform.graph_constants() for name, transform in transforms.columns.items()}
        if transforms.leaves:
            constants |= dict.fromkeys(transforms.leaves.names, transforms.leaves.fingerprint)
    return {
        "the model's config": _short(_in_graph(keras.saving.serialize_keras_object(model))),
        "the transforms": _short(constants),
        "the options of the export": f"table_dtype={table_dtype!r}, explanations={explanations}",
        "the packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def _in_graph(config: Any) -> Any:
    """A config without what is in no graph."""
    if isinstance(config, list | tuple):
        return [_in_graph(value) for value in config]
    if not isinstance(config, dict):
        return config
    found = {key: _in_graph(value) for key, value in config.items() if key not in _NOT_IN_GRAPHS}
    inner = found.get("config")
    if "class_name" in found and isinstance(inner, dict) and isinstance(inner.get("name"), str):
        # Keras numbers objects of one class in the order in which a process makes them.
        inner["name"] = re.sub(r"_\d+$", "", inner["name"])
    return found


def _short(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
