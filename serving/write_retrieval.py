"""Writes a retrieval SavedModel from a `.keras` file; run in a process of its own under the TensorFlow backend.

`python -m grouprank.serving.write_retrieval FOLDER` reads what `export_retrieval` put into `FOLDER`: the model, its
modules, the transforms of its user tower, `ads.npz`, `index.json`, and rows and a name for warm-up requests, and writes
`FOLDER/saved_model/`. The index layers come from TensorFlow Recommenders and work only with Keras 2. So the process
needs `TF_USE_LEGACY_KERAS=1`; it imports Keras 3 as well.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .check_graph import check_graph
from .column_sides import ColumnSides
from .signatures.predict import predict_signature
from .write_saved_model import add_warmup, load_model, name_signatures, raw_columns, save_signatures


def write_retrieval(folder: Path) -> None:
    """Put transforms, user tower and index one after the other and save them."""
    config = json.loads((folder / "index.json").read_text())
    with np.load(folder / "ads.npz") as ads:
        index = _make_index(config, ads["vectors"], ads["ids"])
    model, module = load_model(folder), tf.Module()
    module.index = index  # tracked, so that its weights (ScaNN: its files) are saved
    columns = raw_columns(folder, model.user_schema, module)
    users = model.user_model().model

    def vectors(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"vectors": users(inputs, training=False)}

    def recommend(inputs: Mapping[str, Any]) -> dict[str, Any]:
        scores, ids = index(users(inputs, training=False) / model.temperature, k=config["k"])
        return {"ids": ids, "scores": scores}

    signatures = {
        "serving_default": predict_signature(recommend, columns),
        "user_vectors": predict_signature(vectors, columns),
    }
    if model.group_concats:
        groups = model.group_ids_model()
        signatures["groups"] = predict_signature(lambda inputs: groups(inputs, training=False), columns)
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"]) if config["index"] == "scann" else None
    save_signatures(module, signatures, folder, options)
    name_signatures(folder / "saved_model")
    check_graph(folder / "saved_model", known=("Scann>",) if options else ())
    add_warmup(folder, signatures, ColumnSides.of(model.user_schema, columns.sources))


def _make_index(config: dict[str, Any], vectors: np.ndarray, ids: np.ndarray) -> Any:
    """A layer of TensorFlow Recommenders that knows the ads."""
    if config["index"] == "brute_force":
        # TensorFlow Recommenders imports ScaNN where it is installed, and fails where that is of another TensorFlow.
        modules: dict[str, Any] = sys.modules
        modules["scann"] = None
    from tensorflow_recommenders.layers import factorized_top_k

    kinds = {"brute_force": "BruteForce", "scann": "ScaNN"}
    layer = getattr(factorized_top_k, kinds[config["index"]])(k=config["k"], **config["options"])
    if ids.dtype.kind == "U":
        ids = np.char.encode(ids, "utf-8")
    layer.index(tf.constant(vectors), tf.constant(ids))
    return layer


if __name__ == "__main__":
    write_retrieval(Path(sys.argv[1]))
