"""Exports a trained model as an ONNX file."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .check_weights import check_weights
from .compare_scores import compare_scores
from .export_report import ExportReport
from .fresh_process import run_fresh_process, score_in_fresh_process
from .hand_over import hand_over
from .layout.provenance import describe
from .row_columns import raw_rows, row_labels
from .unfinished_folder import unfinished_folder

# A protocol buffer cannot be larger, and the file holds the tables.
MAX_BYTES = 2**31 - 2**20


def export_onnx(
    model: Any,
    path: str | Path,
    rows: Any = None,
    tolerance: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    table_dtype: str = "float32",
) -> ExportReport:
    """Write the core of a model, ids and floats in and probabilities out, and check it in onnxruntime.

    `export(..., format="onnx")` calls this; see there. The inputs of the file are the features of
    the schema by name, with any batch size. Its outputs are `{prediction: (rows,)}` and, for each
    placement of groups, `PLACEMENT_groups: (rows, levels)`. The facts about the model, among them
    its schema, are JSON in the file's metadata under `provenance`.

    Args:
        model: a trained `CTRModel`.
        path: the file to create, ending in `.onnx`. It appears whole or not at all.
        rows: model inputs to compare on, a dict of columns. `None` draws them. Defaults to `None`.
        tolerance: see `export`. Defaults to `None`.
        provenance: see `export`.
        table_dtype: see `export`. Defaults to `"float32"`.

    Raises:
        FileExistsError: when the file exists; it is never overwritten.
        ImportError: when tf2onnx, onnx or onnxruntime is not installed.
        ValueError: when the name has another ending, or the model is too large for one file.
        RuntimeError: when onnxruntime disagrees with the Keras model.
    """
    path = Path(path)
    _check(model, path)
    raw = raw_rows(model.schema, None, rows)
    # onnxruntime takes the declared dtypes only.
    asked = {f.name: np.asarray(raw[f.name], f.dtype) for f in model.schema.features}
    check_weights(model)
    known = describe(model, provenance)
    with unfinished_folder(path.parent) as work:
        hand_over(model, work, table_dtype=table_dtype)
        (work / "provenance.json").write_text(json.dumps(known), encoding="utf-8")
        run_fresh_process(["-m", "grouprank.serving.write_onnx", str(work)], "The ONNX file was not written")
        answers = score_in_fresh_process(work / "model.onnx", {"onnx": asked})["onnx"]
        groups = {placement: answers.pop(f"{placement}_groups") for placement in model.group_concats}
        served = {"serving_default": answers, "groups": groups}
        report = compare_scores(
            model,
            work / "model.onnx",
            None,
            raw,
            raw,
            served,
            tolerance,
            "onnxruntime",
            table_dtype,
            row_labels(model, rows),
        )
        (work / "model.onnx").rename(path)
    return dataclasses.replace(report, path=path)


def _check(model: Any, path: Path) -> None:
    if path.suffix != ".onnx":
        raise ValueError(f'With format="onnx", `path` is the file to create, such as model.onnx. Received: {path}.')
    if path.exists():
        raise FileExistsError(f"{path} exists and is never overwritten. Choose another name.")
    missing = [name for name in ("tf2onnx", "onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {', '.join(missing)}. Install them with: pip install 'grouprank[onnx]'")
    groups = [f"{placement}_groups" for placement in model.group_concats]
    taken = sorted({*groups} & {*model.schema.feature_names, *model.prediction_names})
    if taken:
        raise ValueError(
            f"The outputs of an ONNX file are the predictions and {groups}, and the schema has columns named {taken}. "
            "Rename the columns, or export a SavedModel (the default format)."
        )
    size = sum(int(np.prod(weight.shape)) * np.dtype("float32").itemsize for weight in model.weights)
    if size > MAX_BYTES:
        raise ValueError(
            f"An ONNX file holds at most 2 GiB, and this model has {size / 2**30:.1f} GiB of weights. Export a "
            "SavedModel (the default format), or train smaller tables: fewer rows, or a smaller `embedding_dim`."
        )
