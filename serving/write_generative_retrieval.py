"""Writes a generative SavedModel from a `.keras` file; run in a process of its own under the TensorFlow backend.

`python -m grouprank.serving.write_generative_retrieval FOLDER` reads what `export_generative_retrieval` put into
`FOLDER`: the model, its modules, `search.json`, and rows and a name for warm-up requests, and writes
`FOLDER/saved_model/`.
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

from .check_graph import check_graph
from .column_sides import ColumnSides
from .signatures.predict import predict_signature
from .write_saved_model import add_warmup, load_model, name_signatures, raw_columns, save_signatures


def write_generative_retrieval(folder: Path) -> None:
    """Save the beam search as plain TensorFlow ops."""
    config = json.loads((folder / "search.json").read_text())
    model, module = load_model(folder), tf.Module()
    columns = raw_columns(folder, model.schema, module)
    signatures = {"serving_default": predict_signature(lambda inputs: model.search(inputs, **config), columns)}
    save_signatures(module, signatures, folder)
    name_signatures(folder / "saved_model")
    check_graph(folder / "saved_model")
    add_warmup(folder, signatures, ColumnSides.of(model.schema, columns.sources))


if __name__ == "__main__":
    write_generative_retrieval(Path(sys.argv[1]))
