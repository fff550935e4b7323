"""Requests of TensorFlow Serving's APIs, as its protocol buffers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest


def predict_request(
    model: str, signature: str, columns: Mapping[str, Any], dtypes: Mapping[str, Any], version: int | None = None
) -> PredictRequest:
    """A request of the Predict API.

    Args:
        model: the model's name.
        signature: the signature's name.
        columns: inputs by name; more than the signature takes are left out.
        dtypes: TensorFlow dtypes of the inputs it takes, by name.
        version: of the model, the newest by default.
    """
    request = PredictRequest()
    _address(request.model_spec, model, signature, version)
    for name, dtype in dtypes.items():
        values = columns[name]
        if isinstance(values, np.ndarray) and values.dtype.kind == "O":
            # What `make_tensor_proto` takes for strings of any length.
            values = values.tolist()
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    return request


def examples_request(
    kind: type[ClassificationRequest] | type[RegressionRequest],
    model: str,
    signature: str,
    examples: Sequence[bytes],
    version: int | None = None,
) -> Any:
    """A request of the Classify or the Regress API, of serialized `tf.Example`s."""
    request = kind()
    _address(request.model_spec, model, signature, version)
    request.input.example_list.examples.extend(tf.train.Example.FromString(example) for example in examples)
    return request


def _address(spec: Any, model: str, signature: str, version: int | None) -> None:
    spec.name, spec.signature_name = model, signature
    if version is not None:
        spec.version.value = version
