"""Where an exported model comes from."""

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from .git_revision import git_revision

# In the version folder.
PROVENANCE_FILE = Path("assets.extra", "provenance.json")
# What an export adds when it has compared the model that it wrote.
LATER = ("verified_rows", "largest_difference_to_keras", "quantization", "retrieval", "delta")
# Packages whose versions decide what a model computes and what can load it.
PACKAGES = ("grouprank", "keras", "keras-rs", "tensorflow", "jax", "torch", "numpy", "polars")


def describe(model: Any, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts about a model: its schema and config, versions, the git revision, and what the caller adds.

    Args:
        model: a model with a `schema`.
        given: further entries, such as `{"data": ..., "metrics": ...}`. Defaults to `None`.

    Raises:
        ValueError: when an entry given is no JSON, or has the name of one written here.

    Example:

    ```python
    describe(model, {"data": "kuairand-pure, 8 - 30 April", "metrics": {"is_click": {"auc": 0.727}}})
    ```
    """
    written = {
        "exported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "schema": model.schema.to_dict(),
        "model": keras.saving.serialize_keras_object(model),
        "parameters": int(model.count_params()),
        "backend": keras.backend.backend(),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "git": git_revision(Path.cwd()),
    }
    taken = sorted({*written, *LATER} & (given or {}).keys())
    if taken:
        raise ValueError(f"`provenance` names entries that the export writes itself: {taken}. Rename them.")
    found = {**written, **(given or {})}
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`provenance` must be made of numbers, strings, lists and dicts: {error}") from error
    return found


def write_provenance(saved_model: Path, known: Mapping[str, Any]) -> None:
    """Write what is known into a version folder.

    Args:
        saved_model: the folder.
        known: what `describe` found, and more.
    """
    path = saved_model / PROVENANCE_FILE
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
