"""TensorFlow Serving by HTTP and JSON."""

import base64
import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from .serving_error import ServingError
from .signature import Signature, TensorSpec

# The server's translation of its own statuses.
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestTransport:
    """Calls of the REST API's `predict` in its columnar form.

    Args:
        address: `http://host:port` or `https://host:port`.
        model: the model's name.
        version: of the model, the newest by default.
    """

    def __init__(self, address: str, model: str, version: int | None = None) -> None:
        versioned = "" if version is None else f"/versions/{version}"
        self._url = f"{address.rstrip('/')}/v1/models/{model}{versioned}"

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """The signatures that the server offers."""
        found = self._call(f"{self._url}/metadata", None, timeout)["metadata"]["signature_def"]["signature_def"]
        return {
            name: Signature({column: _spec(info) for column, info in sorted(signature["inputs"].items())})
            for name, signature in found.items()
            if not name.startswith("__")
        }

    def predict(
        self, name: str, signature: Signature, columns: Mapping[str, np.ndarray], timeout: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""
        inputs = {column: _to_json(columns[column]) for column in signature.inputs}
        answer = self._call(f"{self._url}:predict", {"signature_name": name, "inputs": inputs}, timeout)["outputs"]
        if not isinstance(answer, dict):
            # The server does not name an output that is alone.
            answer = {"outputs": answer}
        return {output: _from_json(values) for output, values in sorted(answer.items())}

    def states(self, timeout: float) -> dict[int, str]:
        """State of each version that the server knows, such as `"AVAILABLE"`."""
        found = self._call(self._url, None, timeout)["model_version_status"]
        return {int(status["version"]): status["state"] for status in found}

    def close(self) -> None:
        """Nothing: each call has a connection of its own."""

    def _call(self, url: str, body: Any, timeout: float) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["error"]
            except (json.JSONDecodeError, KeyError, TypeError):
                text = text or error.reason
            raise ServingError(_CODES.get(error.code, "INTERNAL"), str(text)) from error
        except TimeoutError as error:
            raise ServingError("DEADLINE_EXCEEDED", f"no answer within {timeout:.3g} s") from error
        except urllib.error.URLError as error:
            slow = isinstance(error.reason, socket.timeout)
            raise ServingError("DEADLINE_EXCEEDED" if slow else "UNAVAILABLE", str(error.reason)) from error
        except (http.client.HTTPException, ConnectionError) as error:
            raise ServingError("UNAVAILABLE", f"the connection broke: {error!r}") from error


def _spec(info: Mapping[str, Any]) -> TensorSpec:
    dtypes = {"DT_FLOAT": "float32", "DT_STRING": "string"}
    sizes = [int(axis["size"]) for axis in info["tensor_shape"].get("dim", ())]
    dtype = dtypes.get(info["dtype"], info["dtype"].removeprefix("DT_").lower())
    return TensorSpec(dtype, tuple(None if size < 0 else size for size in sizes))


def _to_json(values: np.ndarray) -> Any:
    if values.dtype != object:
        return values.tolist()
    if values.ndim > 1:
        return [_to_json(row) for row in values]
    return [{"b64": base64.b64encode(value).decode()} for value in values]


def _from_json(values: Any) -> np.ndarray:
    array = np.array(values)
    if array.dtype.kind == "f":
        return array.astype("float32")
    return (
        array
        if array.dtype.kind != "U"
        else np.array([v.encode() for v in array.reshape(-1)], object).reshape(array.shape)
    )
