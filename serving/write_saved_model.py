"""Writes a SavedModel from a `.keras` file; run in a process of its own under the TensorFlow backend.

`python -m grouprank.serving.write_saved_model FOLDER` reads `FOLDER/model.keras`,
`FOLDER/modules.json`, `FOLDER/rows.pickle` (raw columns), `FOLDER/name.txt` (the model's) and, if there,
`FOLDER/table_dtype.txt`, `FOLDER/transforms/`, `FOLDER/occlusion.pickle` and `FOLDER/graph.json` (see `graph_parts`).
It writes `FOLDER/saved_model/`. Where the graph is described, the version says where its variables come from, and
`FOLDER/dense_weights.txt` has a digest of the weights that were read.
torch cannot export a model with dict inputs, and JAX exports one opaque op. So models of every backend are written
here.
"""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

from ..datasets import TableTransforms
from ..schema import Schema
from .arranged_weights import ArrangedWeights
from .check_graph import check_graph
from .column_sides import ColumnSides
from .custom_modules import import_custom_modules
from .deltas.record_variables import record_variables
from .deltas.served_variables import dense_values, digest
from .layout.server_files import MAX_BATCH_SIZE
from .layout.warmup import write_warmup
from .occlusion import Occlusion
from .signatures.argument_names import column_name
from .signatures.examples import examples_signatures
from .signatures.explained import explained
from .signatures.graph_transforms import GraphTransforms
from .signatures.plain_columns import PlainColumns
from .signatures.predict import predict_signature
from .signatures.rank import rank_signature


def write_saved_model(folder: Path) -> None:
    """Load the model, put the transforms before it and save both as plain TensorFlow ops, with requests to warm up."""
    model, module = load_model(folder), tf.Module()
    columns = raw_columns(folder, model.schema, module)
    arranged = ArrangedWeights()
    occlusion = folder / "occlusion.pickle"
    signatures = model_signatures(
        model, columns, arranged, pickle.loads(occlusion.read_bytes()) if occlusion.exists() else None
    )
    variables = save_signatures(module, signatures, folder)
    name_signatures(folder / "saved_model")
    check_graph(folder / "saved_model")
    add_warmup(folder, signatures, ColumnSides.of(model.schema, columns.sources))
    if (graph := folder / "graph.json").exists():
        (folder / "dense_weights.txt").write_text(digest(dense_values(model)))
        # Last, since it overwrites the model's weights.
        record = record_variables(model, variables, arranged.arrangements, json.loads(graph.read_text()))
        if record is not None:
            record.save(folder / "saved_model")


def model_signatures(
    model: Any, columns: Any, arranged: ArrangedWeights, occlusion: Occlusion | None = None
) -> dict[str, Any]:
    """Concrete functions by signature name.

    Args:
        model: the model.
        columns: `GraphTransforms` or `PlainColumns`.
        arranged: keeps weights in the order in which the functions read them; must live until they are saved.
        occlusion: what a signature `explanations` is made of. Defaults to `None`, no such signature.
    """
    scores = _probabilities(model, arranged)
    of_examples: dict[str, Any] = {"serving_examples": dict, "classify": _classes}
    of_examples |= {f"regress_{name}": _only(name) for name in model.prediction_names}
    found = {
        "serving_default": predict_signature(scores, columns),
        **examples_signatures(scores, columns, of_examples),
    }
    if ColumnSides.of(model.schema, columns.sources).can_rank:
        found["rank"] = rank_signature(model, columns, arranged)
    if isinstance(columns, GraphTransforms):
        found["features"] = predict_signature(dict, columns)
    if model.group_concats:
        found["groups"] = predict_signature(_group_ids(model), columns)
    if occlusion is not None:
        found["explanations"] = predict_signature(
            explained(lambda inputs: model.row_logits(inputs, arranged), occlusion), columns
        )
    return found


def load_model(folder: Path) -> Any:
    """The Keras model, with the modules imported that its classes come from."""
    import_custom_modules(json.loads((folder / "modules.json").read_text(encoding="utf-8")))
    model = keras.models.load_model(folder / "model.keras", compile=False)
    if (quantized := folder / "table_dtype.txt").exists():
        for stack in model.table_stacks:
            stack.quantize(quantized.read_text())
    return model


def raw_columns(folder: Path, schema: Schema, module: tf.Module) -> GraphTransforms | PlainColumns:
    """What turns a signature's columns into model inputs."""
    if not (folder / "transforms").exists():
        return PlainColumns(schema)
    transforms = GraphTransforms(TableTransforms.load(folder / "transforms"), folder / "vocabularies")
    module.transforms = transforms  # tracked, so that its tables and their files are saved
    return transforms


def save_signatures(
    module: tf.Module, signatures: dict[str, Any], folder: Path, options: Any = None
) -> dict[str, tf.Variable]:
    """Write `saved_model/` with the variables that the signatures read and no others; returns them by their names."""
    # No optimizer slots, no residual heads, no moving averages.
    captured = {id(v): v for signature in signatures.values() for v in _variables(signature)}
    module.variables_read = list(captured.values())
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures, options=options)
    return {f"variables_read/{n}/.ATTRIBUTES/VARIABLE_VALUE": v for n, v in enumerate(module.variables_read)}


def _variables(signature: Any) -> list[tf.Variable]:
    """What a function reads, in the order in which it was traced: two exports of a model are then alike."""
    places = {id(tensor): place for place, tensor in enumerate(signature.captured_inputs)}
    return sorted(signature.variables, key=lambda variable: places[id(variable.handle)])


def add_warmup(folder: Path, signatures: dict[str, Any], sides: ColumnSides) -> None:
    """Write requests to warm up with, of the rows in the folder."""
    rows: dict[str, np.ndarray] = pickle.loads((folder / "rows.pickle").read_bytes())
    dtypes = {
        name: {column_name(given): spec.dtype for given, spec in function.structured_input_signature[1].items()}
        for name, function in signatures.items()
    }
    name = (folder / "name.txt").read_text()
    write_warmup(folder / "saved_model", name, dtypes, rows, sides, (1, 32, MAX_BATCH_SIZE))


def name_signatures(saved_model: Path) -> None:
    """Name what `tf.saved_model.save` cannot.

    Inputs get the names of their columns (see `argument_names`). The server learns which signatures the Classify and
    Regress APIs may call, where TensorFlow says Predict of all.

    Args:
        saved_model: the version folder.
    """
    path = saved_model / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    for meta in model.meta_graphs:
        for name, signature in meta.signature_def.items():
            inputs = [
                (column_name(argument), type(info).FromString(info.SerializeToString()))
                for argument, info in signature.inputs.items()
            ]
            # All at once, since the name of one column may be the argument of another.
            signature.ClearField("inputs")
            for column, info in inputs:
                signature.inputs[column].CopyFrom(info)
            method = "classify" if name == "classify" else "regress" if name.startswith("regress_") else None
            if method:
                signature.method_name = f"tensorflow/serving/{method}"
    path.write_bytes(model.SerializeToString(deterministic=True))
    # It holds a checksum of the file.
    write_fingerprint(str(saved_model))


def _probabilities(model: Any, arranged: ArrangedWeights) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda inputs: {task: tf.sigmoid(z) for task, z in model.row_logits(inputs, arranged).items()}


def _group_ids(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    groups = model.group_ids_model()
    return lambda inputs: groups(inputs, training=False)


def _classes(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores as the Classify API wants them: the predictions are the classes, `(batch, predictions)` each."""
    table = tf.stack(list(scores.values()), axis=1)
    return {"classes": tf.broadcast_to(tf.constant([list(scores)]), tf.shape(table)), "scores": table}


def _only(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One prediction under the name that the Regress API wants."""
    return lambda scores: {"outputs": scores[name]}


if __name__ == "__main__":
    write_saved_model(Path(sys.argv[1]))
