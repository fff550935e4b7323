"""One version of a model in memory."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from ..c_session import CSession, CSessionError
from ..client.tensor_values import tensor_values
from ..layout.warmup import WARMUP_FILE

INVALID_ARGUMENT = 3


class LoadedVersion:
    """A SavedModel that answers, run by TensorFlow's C library.

    Loading runs the warm-up requests, as the server does; a version that cannot answer them is not loaded.

    Args:
        path: the version folder.

    Raises:
        CSessionError, OSError, ValueError: when the folder holds no SavedModel that works.
    """

    def __init__(self, path: Path) -> None:
        self.version = int(path.name)
        model = SavedModel.FromString((path / "saved_model.pb").read_bytes())
        self.signature_defs = {
            name: signature
            for name, signature in model.meta_graphs[0].signature_def.items()
            if not name.startswith("__")
        }
        self._session = CSession(path)
        self._users, self._retired = 0, False
        self._lock = threading.Lock()
        warmup = path / WARMUP_FILE
        if warmup.exists():
            for record in tf.data.TFRecordDataset(str(warmup)).as_numpy_iterator():
                log = PredictionLog.FromString(record)
                request = getattr(log, log.WhichOneof("log_type")).request
                self.run(request.model_spec.signature_name, request_columns(request))

    def run(self, signature: str, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature; columns that do not fit are refused as the server refuses them.

        Args:
            signature: its name; the empty string means `serving_default`.
            columns: inputs by name.

        Raises:
            CSessionError: with the code that the server answers.
        """
        name = signature or "serving_default"
        if name not in self.signature_defs:
            known = sorted(self.signature_defs)
            raise CSessionError(f'Serving signature key "{name}" not found. Known: {known}.', INVALID_ARGUMENT)
        inputs = self.signature_defs[name].inputs
        extra, missing = sorted(columns.keys() - inputs.keys()), sorted(inputs.keys() - columns.keys())
        if extra or missing:
            raise CSessionError(
                f"input size does not match signature {name!r}. Sent extra: {extra}. Missing but required: {missing}.",
                INVALID_ARGUMENT,
            )
        for column, info in inputs.items():
            values, wanted = columns[column], tf.as_dtype(info.dtype)
            received = tf.string if values.dtype == object else tf.as_dtype(values.dtype)
            if received != wanted:
                raise CSessionError(
                    f"Expects input {column!r} to be {wanted.name} but {received.name} is provided.", INVALID_ARGUMENT
                )
            sizes = [axis.size for axis in info.tensor_shape.dim]
            if len(sizes) != values.ndim or any(s not in (-1, v) for s, v in zip(sizes, values.shape, strict=True)):
                raise CSessionError(
                    f"Expects input {column!r} of shape {sizes} (-1: any) but {list(values.shape)} is provided.",
                    INVALID_ARGUMENT,
                )
        return self._session.run(name, columns)

    def acquire(self) -> bool:
        """Keep the version in memory for a request; `False` when it was unloaded already."""
        with self._lock:
            if self._retired:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """The request is answered."""
        with self._lock:
            self._users -= 1
            self._close_if_unused()

    def retire(self) -> None:
        """Answer no more requests, and free the memory after the last."""
        with self._lock:
            if not self._retired:
                self._retired = True
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._session.close()


def request_columns(request: Any) -> dict[str, np.ndarray]:
    """Inputs of a request of the Predict, Classify or Regress API.

    Args:
        request: the protocol buffer.

    Raises:
        CSessionError: when a tensor does not parse.
    """
    if hasattr(request, "inputs"):
        columns = {}
        for name, tensor in request.inputs.items():
            try:
                columns[name] = tensor_values(tensor)
            except ValueError as error:
                raise CSessionError(f"tensor parsing error: {name}: {error}", INVALID_ARGUMENT) from error
        return columns
    examples = [example.SerializeToString() for example in request.input.example_list.examples]
    if not examples:
        raise CSessionError("Input is empty.", INVALID_ARGUMENT)
    found = np.empty(len(examples), object)
    found[:] = examples
    return {"inputs": found}


def read_json(text: bytes) -> Any:
    """A JSON body, as the REST API takes it: NaN and Infinity are numbers."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CSessionError(f"JSON Parse error: {error}", INVALID_ARGUMENT) from error
