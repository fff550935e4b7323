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
from ..schema import Schema
from .graph_transforms import GraphTransforms


def write_saved_model(folder: Path) -> None:
    """Load the model, put the transforms before it and save both as plain TensorFlow ops."""
    model, module = load_model(folder), tf.Module()
    signature, encode = raw_inputs(folder, model.schema, module)
    signatures = {"serving_default": concrete_function(_probabilities(model), encode, signature)}
    if model.group_concats:
        signatures["groups"] = concrete_function(_group_ids(model), encode, signature)
    save_signatures(module, signatures, folder)


def load_model(folder: Path) -> Any:
    """The Keras model, with the modules imported that its classes come from."""
    _import_modules(json.loads((folder / "modules.json").read_text()))
    return keras.models.load_model(folder / "model.keras", compile=False)


def raw_inputs(
    folder: Path, schema: Schema, module: tf.Module
) -> tuple[dict[str, tf.TensorSpec], Callable[[dict[str, Any]], dict[str, Any]]]:
    """A spec per input column and what turns the columns into model inputs."""
    if not (folder / "transforms").exists():
        return {f.name: tf.TensorSpec([None, *f.shape], f.dtype, name=f.name) for f in schema.features}, dict
    transforms = GraphTransforms(TableTransforms.load(folder / "transforms"), folder / "vocabularies")
    module.transforms = transforms  # tracked, so that its tables and their files are saved
    return transforms.signature(), transforms


def save_signatures(module: tf.Module, signatures: dict[str, Any], folder: Path, options: Any = None) -> None:
    """Write `saved_model/` with the variables that the signatures read and no others."""
    # No optimizer slots, no residual heads, no moving averages.
    captured = {id(v): v for signature in signatures.values() for v in signature.variables}
    module.variables_read = list(captured.values())
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures, options=options)


def _import_modules(modules: dict[str, Any]) -> None:
    """Run what registers the custom classes of the model."""
    for name in modules["names"]:
        importlib.import_module(name)
    if modules["script"]:
        # Not "__main__": the script's guarded part must not run again.
        runpy.run_path(modules["script"], run_name="__grouprank_export__")


def _probabilities(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    logits = model.logits_model()

    def probabilities(inputs: dict[str, Any]) -> dict[str, Any]:
        return {task: tf.sigmoid(tf.reshape(z, [-1])) for task, z in logits(inputs, training=False).items()}

    return probabilities


def _group_ids(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    groups = model.group_ids_model()
    return lambda inputs: groups(inputs, training=False)


def concrete_function(
    function: Callable[..., Any], encode: Callable[..., Any], signature: dict[str, tf.TensorSpec]
) -> Any:
    """A signature that applies a function to encoded columns and names its outputs."""

    def serve(**raw: Any) -> dict[str, Any]:
        return {name: tf.identity(value, name=name) for name, value in function(encode(raw)).items()}

    return tf.function(serve).get_concrete_function(**signature)


if __name__ == "__main__":
    write_saved_model(Path(sys.argv[1]))
