"""What a run of daily training has left on disk, by value."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it is published without types
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

# What tells when or in which process something was done.
_TIMES = {"seconds", "exported_at"}
# Parts of a SavedModel whose bytes depend on the order in which TensorFlow met its objects.
_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables"}


def run_contents(folder: Path, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The contents of all files below a folder, comparable with `==`, without what tells the time.

    Two files may hold the same values in other bytes: a `.keras` file has its arrays at other places, and a SavedModel
    numbers its variables anew. So arrays are compared bit for bit by name, warm-up requests as messages, and a
    SavedModel by its signatures, by all of its variables, and by what it answers for raw rows. All other files are
    compared byte for byte.

    Args:
        folder: the folder.
        rows: raw columns to ask each SavedModel for.

    Example:

    ```python
    assert run_contents(Path("runs/whole"), rows) == run_contents(Path("runs/killed"), rows)
    ```
    """
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name == "saved_model.pb":
            found[name] = _saved_model(path.parent, rows)
        elif path.name == "tf_serving_warmup_requests":
            found[name] = [PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
        elif path.suffix == ".keras":
            found[name] = _keras_arrays(path)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: _bits(arrays[key]) for key in arrays.files}
        elif path.suffix == ".json":
            values = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in values.items() if key not in _TIMES}
        elif not _SAVED_MODEL & {path.name, path.parent.name} and path.name != "lock":
            found[name] = path.read_bytes()
    return found


def different(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Names of the files that only one of two runs has, or that differ.

    Args:
        first: what `run_contents` found in one.
        second: what it found in the other.
    """
    return sorted(
        name for name in {*first, *second} if name not in first or name not in second or first[name] != second[name]
    )


def _keras_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a saved model, optimizer included."""
    found: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = _bits(np.asarray(item))

    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(add)
    return found


def _saved_model(version: Path, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Signatures, variables in an order of their own, and answers of each signature that takes raw rows."""
    checkpoint = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    names = [name for name in checkpoint.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    signatures = tf.saved_model.load(str(version)).signatures
    answers: dict[str, Any] = {}
    for name, signature in signatures.items():
        arguments = signature.structured_input_signature[1]
        if set(arguments) == set(rows) and all(spec.shape.rank == 1 for spec in arguments.values()):
            columns = {column: tf.constant(values) for column, values in rows.items()}
            answers[name] = {output: _bits(values.numpy()) for output, values in signature(**columns).items()}
    return {
        "signatures": {
            name: (str(s.structured_input_signature), sorted(map(str, s.structured_outputs.items())))
            for name, s in signatures.items()
        },
        "variables": sorted(_bits(checkpoint.get_tensor(name)) for name in names),
        "answers": answers,
    }


def _bits(values: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return str(values.dtype), values.shape, values.tobytes()
