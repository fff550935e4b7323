"""Requests that the server runs before it takes traffic, so that the first real request is not slow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from ..client.requests import examples_request, predict_request
from ..column_sides import ColumnSides
from ..examples import examples_argument, to_examples

# Where the server looks.
WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")


def write_warmup(
    saved_model: Path,
    name: str,
    signatures: Mapping[str, Mapping[str, Any]],
    raw: Mapping[str, np.ndarray],
    sides: ColumnSides,
    batch_sizes: Sequence[int],
) -> Path:
    """Write a record for every signature and batch size; `explanations` has only one of the smallest size.

    Args:
        saved_model: the version folder.
        name: the model's name.
        signatures: TensorFlow dtypes of the inputs, by signature and input.
        raw: raw columns; their rows are repeated to the sizes wanted.
        sides: which of them come once per request of `rank`.
        batch_sizes: numbers of rows per request, and of ads per request of `rank`.
    """
    path = saved_model / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in batch_sizes:
            rows = {column: values[np.arange(size) % len(values)] for column, values in raw.items()}
            crossed = sides.fold(sides.cross(raw, 1, size), size)
            examples = to_examples(rows)
            for signature, dtypes in signatures.items():
                # Each of its rows is scored as often as there are fields.
                if signature == "explanations" and size > min(batch_sizes):
                    continue
                of_examples = examples_argument(signature)
                columns = crossed if signature == "rank" else rows
                if of_examples is not None:
                    columns = {of_examples: np.array(examples, object)}
                writer.write(_log(name, signature, columns, dtypes, examples).SerializeToString())
    return path


def _log(
    name: str, signature: str, columns: Mapping[str, Any], dtypes: Mapping[str, Any], examples: Sequence[bytes]
) -> PredictionLog:
    log = PredictionLog()
    if signature == "classify":
        log.classify_log.request.CopyFrom(examples_request(ClassificationRequest, name, signature, examples))
    elif signature.startswith("regress_"):
        log.regress_log.request.CopyFrom(examples_request(RegressionRequest, name, signature, examples))
    else:
        log.predict_log.request.CopyFrom(predict_request(name, signature, columns, dtypes))
    return log
