"""Writes a SavedModel from a `.keras` file; run in a process of its own under the TensorFlow backend.

`python -m grouprank.serving.write_saved_model FOLDER` reads `FOLDER/model.keras`,
`FOLDER/modules.json` and, if there, `FOLDER/transforms/`, and writes `FOLDER/saved_model/`.
torch cannot export a model of dict inputs and JAX exports one opaque op, so every backend's model
comes through here.
"""

import importlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..datasets import TableTransforms
from .graph_transforms import GraphTransforms


def write_saved_model(folder: Path) -> None:
    """Load the model, put the transforms before it and save both as plain TensorFlow ops."""
    _import_modules(json.loads((folder / "modules.json").read_text()))
    model = keras.models.load_model(folder / "model.keras", compile=False)
    module = tf.Module()
    encode: Callable[..., Any] = dict
    signature = _input_signature(model)
    if (folder / "transforms").exists():
        transforms = GraphTransforms(TableTransforms.load(folder / "transforms"), folder / "vocabularies")
        module.transforms = transforms  # tracked, so that its tables and their files are saved
        signature, encode = transforms.signature(), transforms
    signatures = {"serving_default": _concrete(_probabilities(model), encode, signature)}
    if model.group_concats:
        signatures["groups"] = _concrete(_group_ids(model), encode, signature)
    # Only what the signatures read: no optimizer slots, no residual heads, no moving averages.
    captured = {id(v): v for concrete in signatures.values() for v in concrete.variables}
    module.variables_read = list(captured.values())
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)


def _import_modules(modules: dict[str, Any]) -> None:
    """Run what registers the custom classes of the model."""
    for name in modules["names"]:
        importlib.import_module(name)
    if modules["script"]:
        # Not "__main__": the script's guarded part must not run again.
        runpy.run_path(modules["script"], run_name="__grouprank_export__")


def _input_signature(model: Any) -> dict[str, tf.TensorSpec]:
    return {f.name: tf.TensorSpec([None, *f.shape], f.dtype, name=f.name) for f in model.schema.features}


def _probabilities(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    logits = model.logits_model()

    def probabilities(inputs: dict[str, Any]) -> dict[str, Any]:
        return {task: tf.sigmoid(tf.reshape(z, [-1])) for task, z in logits(inputs, training=False).items()}

    return probabilities


def _group_ids(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    groups = model.group_ids_model()
    return lambda inputs: groups(inputs, training=False)


def _concrete(function: Callable[..., Any], encode: Callable[..., Any], signature: dict[str, tf.TensorSpec]) -> Any:
    def serve(**raw: Any) -> dict[str, Any]:
        return {name: tf.identity(value, name=name) for name, value in function(encode(raw)).items()}

    return tf.function(serve).get_concrete_function(**signature)


if __name__ == "__main__":
    write_saved_model(Path(sys.argv[1]))
