"""TensorFlow Serving by gRPC."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from .requests import predict_request
from .serving_error import ServingError
from .signature import Signature, TensorSpec
from .tensor_values import tensor_values

# Serialized examples and lists of ads soon exceed gRPC's default of 4 MiB.
MAX_MESSAGE_BYTES = 256 * 2**20


class GrpcTransport:
    """Calls of the Predict API of one model.

    Args:
        address: `host:port`.
        model: the model's name.
        version: of the model, the newest by default.
    """

    def __init__(self, address: str, model: str, version: int | None = None) -> None:
        self._model, self._version = model, version
        sizes = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("send", "receive")]
        # Retries are the client's, which knows the deadline.
        self._channel = grpc.insecure_channel(address, options=[*sizes, ("grpc.enable_retries", 0)])
        self._predictions, self._models = PredictionServiceStub(self._channel), ModelServiceStub(self._channel)

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """The signatures that the server offers."""
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec)
        response = self._call(self._predictions.GetModelMetadata, request, timeout)
        found = SignatureDefMap()
        if "signature_def" not in response.metadata or not response.metadata["signature_def"].Unpack(found):
            raise ServingError("INTERNAL", "the answer holds no signatures")
        return {
            name: Signature(
                {column: _spec(info) for column, info in sorted(signature.inputs.items())},
                tuple(sorted(signature.outputs)),
            )
            for name, signature in found.signature_def.items()
            if not name.startswith("__")
        }

    def predict(
        self, name: str, signature: Signature, columns: Mapping[str, np.ndarray], timeout: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""
        dtypes = {column: spec.dtype for column, spec in signature.inputs.items()}
        request = predict_request(self._model, name, columns, dtypes, self._version)
        response = self._call(self._predictions.Predict, request, timeout)
        try:
            return {output: tensor_values(tensor) for output, tensor in sorted(response.outputs.items())}
        except ValueError as error:
            raise ServingError("INTERNAL", f"the answer is not a tensor: {error}") from error

    def states(self, timeout: float) -> dict[int, str]:
        """State of each version that the server knows, such as `"AVAILABLE"`."""
        request = GetModelStatusRequest()
        self._address(request.model_spec)
        response = self._call(self._models.GetModelStatus, request, timeout)
        return {status.version: type(status).State.Name(status.state) for status in response.model_version_status}

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _address(self, spec: Any) -> None:
        spec.name = self._model
        if self._version is not None:
            spec.version.value = self._version

    def _call(self, method: Any, request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, error.details()) from error


def _spec(info: Any) -> TensorSpec:
    return TensorSpec(
        tf.as_dtype(info.dtype).name, tuple(None if d.size < 0 else int(d.size) for d in info.tensor_shape.dim)
    )
