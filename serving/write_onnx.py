"""Writes an ONNX file from a `.keras` file; run in a process of its own under the TensorFlow backend.

`python -m grouprank.serving.write_onnx FOLDER` reads `FOLDER/model.keras`, `FOLDER/modules.json` and
`FOLDER/provenance.json`, and writes `FOLDER/model.onnx`.
"""

import sys
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx

from .arranged_weights import ArrangedWeights
from .signatures.argument_names import argument_names, column_name
from .write_saved_model import load_model

# What onnxruntime has run since 1.14; nothing here needs more.
OPSET = 18


def write_onnx(folder: Path) -> None:
    """Load the model, trace it as it is served and convert the graph."""
    model = load_model(folder)
    arranged = ArrangedWeights()
    groups = model.group_ids_model() if model.group_concats else None

    def serve(columns: dict[str, Any]) -> dict[str, Any]:
        found = {name: tf.sigmoid(logits) for name, logits in model.row_logits(columns, arranged).items()}
        ids = groups(columns, training=False) if groups is not None else {}
        return {**found, **{f"{placement}_groups": codes for placement, codes in ids.items()}}

    arguments = argument_names(model.schema.feature_names)
    specs = {f.name: tf.TensorSpec([None, *f.shape], f.dtype, name=arguments[f.name]) for f in model.schema.features}
    proto, _ = tf2onnx.convert.from_function(tf.function(serve, autograph=False), [specs], opset=OPSET)
    _name_inputs(proto.graph)
    onnx.helper.set_model_props(proto, {"provenance": (folder / "provenance.json").read_text(encoding="utf-8")})
    onnx.checker.check_model(proto)
    onnx.save_model(proto, str(folder / "model.onnx"))


def _name_inputs(graph: Any) -> None:
    """Call the inputs as their columns are called, wherever they are read; see `argument_names`."""
    for value in graph.input:
        value.name = column_name(value.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = column_name(name)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _name_inputs(inner)


if __name__ == "__main__":
    write_onnx(Path(sys.argv[1]))
