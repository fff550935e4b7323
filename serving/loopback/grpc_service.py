"""The gRPC side of the loopback server."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from ..c_session import CSessionError
from .loaded_version import INVALID_ARGUMENT, LoadedVersion, request_columns
from .model_versions import NOT_FOUND, ModelVersions

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcService(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Predict, Classify, Regress, GetModelMetadata and GetModelStatus.

    Args:
        models: versions by model name.
    """

    def __init__(self, models: Mapping[str, ModelVersions]) -> None:
        self._models = models

    def Predict(self, request: Any, context: Any) -> Any:
        """Outputs of a signature as tensors."""
        with self._serving(request.model_spec, context) as served:
            outputs = served.run(request.model_spec.signature_name, request_columns(request))
            unknown = [name for name in request.output_filter if name not in outputs]
            if unknown:
                raise CSessionError(f"output tensor alias not found in signature: {unknown}", INVALID_ARGUMENT)
            response = predict_pb2.PredictResponse()
            _answered_by(response.model_spec, request, served)
            for name in request.output_filter or outputs:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(_plain(outputs[name])))
        return response

    def Classify(self, request: Any, context: Any) -> Any:
        """Classes and scores of examples."""
        with self._serving(request.model_spec, context) as served:
            outputs = self._of_method(served, request, "classify")
            response = classification_pb2.ClassificationResponse()
            _answered_by(response.model_spec, request, served)
            for labels, scores in zip(outputs["classes"], outputs["scores"], strict=True):
                classes = response.result.classifications.add().classes
                for label, score in zip(labels, scores, strict=True):
                    classes.add(label=label.decode(), score=float(score))
        return response

    def Regress(self, request: Any, context: Any) -> Any:
        """One value per example."""
        with self._serving(request.model_spec, context) as served:
            outputs = self._of_method(served, request, "regress")
            response = regression_pb2.RegressionResponse()
            _answered_by(response.model_spec, request, served)
            for value in outputs["outputs"]:
                response.result.regressions.add(value=float(value))
        return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        """The signatures."""
        with self._serving(request.model_spec, context) as served:
            if list(request.metadata_field) != ["signature_def"]:
                raise CSessionError(
                    f"Metadata field {list(request.metadata_field)} is not supported.", INVALID_ARGUMENT
                )
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            _answered_by(response.model_spec, request, served)
            found = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in served.signature_defs.items():
                found.signature_def[name].CopyFrom(signature)
            response.metadata["signature_def"].Pack(found)
        return response

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        """State of each version."""
        with _answering(context):
            models = _model(self._models, request.model_spec)
            response = get_model_status_pb2.GetModelStatusResponse()
            for version, state in models.states().items():
                status = response.model_version_status.add(version=version)
                status.state = type(status).State.Value(state)
                if version in models.errors:
                    status.status.error_code, status.status.error_message = 2, models.errors[version]
        return response

    @contextlib.contextmanager
    def _serving(self, spec: Any, context: Any) -> Iterator[LoadedVersion]:
        with _answering(context):
            version = spec.version.value if spec.HasField("version") else None
            with _model(self._models, spec).serving(spec.name, version) as served:
                yield served

    @staticmethod
    def _of_method(served: LoadedVersion, request: Any, method: str) -> Mapping[str, np.ndarray]:
        name = request.model_spec.signature_name or "serving_default"
        signature = served.signature_defs.get(name)
        if signature is not None and signature.method_name != f"tensorflow/serving/{method}":
            raise CSessionError(
                f"Expected {method} signature method_name to be tensorflow/serving/{method}. "
                f"Was: {signature.method_name}",
                INVALID_ARGUMENT,
            )
        return served.run(name, request_columns(request))


@contextlib.contextmanager
def _answering(context: Any) -> Iterator[None]:
    """Turn errors into a status of gRPC."""
    try:
        yield
    except CSessionError as error:
        context.abort(_CODES.get(error.code, grpc.StatusCode.INTERNAL), str(error))


def _model(models: Mapping[str, ModelVersions], spec: Any) -> ModelVersions:
    if not spec.name:
        raise CSessionError("Missing ModelSpec", INVALID_ARGUMENT)
    if spec.name not in models:
        raise CSessionError(f"Servable not found for request: Latest({spec.name})", NOT_FOUND)
    return models[spec.name]


def _answered_by(spec: Any, request: Any, served: LoadedVersion) -> None:
    spec.CopyFrom(request.model_spec)
    spec.version.value = served.version


def _plain(values: np.ndarray) -> Any:
    # `make_tensor_proto` takes strings as lists.
    return values.tolist() if values.dtype == object else values
