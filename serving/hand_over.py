"""What an export leaves in its folder for the process that writes the file."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..distribution import world_size
from .custom_modules import custom_modules
from .layout.server_files import MAX_BATCH_SIZE
from .occlusion import Occlusion


def hand_over(
    model: Any,
    work: Path,
    transforms: TableTransforms | None = None,
    raw: Mapping[str, np.ndarray] | None = None,
    name: str | None = None,
    table_dtype: str = "float32",
    occlusion: Occlusion | None = None,
    graph: Mapping[str, str] | None = None,
) -> None:
    """Save the model without optimizers' state, the modules that its classes come from, and what else is given.

    Args:
        model: a Keras model.
        work: the folder.
        transforms: what stands before the model. Defaults to `None`.
        raw: raw columns to make warm-up requests of. Defaults to `None`.
        name: under which the model is served. Defaults to `None`.
        table_dtype: how the file is to keep the rows of tables. Defaults to `"float32"`.
        occlusion: what the signature `explanations` is made of. Defaults to `None`, no such signature.
        graph: see `graph_parts`. Defaults to `None`.

    Raises:
        RuntimeError: if rows of a table are dealt over processes, which would have to take part in every check.
        ValueError: if the model cannot be rebuilt in a fresh process.
    """
    # First, since they may refuse.
    _refuse_dealt_tables(model)
    (work / "modules.json").write_text(json.dumps(custom_modules(model)), encoding="utf-8")
    model.save(work / "model.keras", include_optimizer=False)
    if transforms is not None:
        transforms.save(work / "transforms")
    if raw is not None:
        rows = {column: values[:MAX_BATCH_SIZE] for column, values in raw.items()}
        (work / "rows.pickle").write_bytes(pickle.dumps(rows))
    if name is not None:
        (work / "name.txt").write_text(name)
    if table_dtype != "float32":
        (work / "table_dtype.txt").write_text(table_dtype)
    if occlusion is not None:
        (work / "occlusion.pickle").write_bytes(pickle.dumps(occlusion))
    if graph is not None:
        (work / "graph.json").write_text(json.dumps(graph))


def _refuse_dealt_tables(model: Any) -> None:
    dealt = [layer for layer in model._flatten_layers() if getattr(layer, "num_shards", 1) > 1]
    if dealt and world_size() > 1:
        raise RuntimeError(
            f"The rows of {[layer.name for layer in dealt]} are dealt over {world_size()} processes, and an export is "
            "written and checked by one. Save the model (`model.save`, in every process), load the file in one "
            "process, and export what was loaded. `grouprank.serving.export` does that by itself."
        )
