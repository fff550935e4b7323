"""TensorFlow Serving by HTTP and JSON."""

import base64
import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .http_request import http_request
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
        self._url = f"{address.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}{versioned}"

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """The signatures that the server offers."""
        answer = self._call(f"{self._url}/metadata", None, timeout)
        with _read("signatures", answer):
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(
                    {column: _spec(info) for column, info in sorted(signature["inputs"].items())},
                    tuple(sorted(signature.get("outputs", ()))),
                )
                for name, signature in found.items()
                if not name.startswith("__")
            }

    def predict(
        self, name: str, signature: Signature, columns: Mapping[str, np.ndarray], timeout: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""
        inputs = {column: _to_json(columns[column]) for column in signature.inputs}
        answer = self._call(f"{self._url}:predict", {"signature_name": name, "inputs": inputs}, timeout)
        with _read("outputs", answer):
            outputs = answer["outputs"]
            if not isinstance(outputs, dict):
                # The server leaves out the name of an output if there is only one.
                outputs = {signature.outputs[0] if len(signature.outputs) == 1 else "outputs": outputs}
            return {output: _from_json(values) for output, values in sorted(outputs.items())}

    def states(self, timeout: float) -> dict[int, str]:
        """State of each version that the server knows, such as `"AVAILABLE"`."""
        answer = self._call(self._url, None, timeout)
        with _read("versions", answer):
            return {int(status["version"]): str(status["state"]) for status in answer["model_version_status"]}

    def close(self) -> None:
        """Do nothing, since each call has a connection of its own."""

    def _call(self, url: str, body: Any, timeout: float) -> Any:
        data = None if body is None else json.dumps(body).encode()
        status, text = http_request(url, data, timeout)
        if status != 200:
            try:
                words = str(json.loads(text)["error"])
            except (ValueError, KeyError, TypeError, RecursionError):
                words = text.decode(errors="replace") or http.client.responses.get(status, str(status))
            raise ServingError(_CODES.get(status, "INTERNAL"), words)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ServingError("INTERNAL", f"the answer is not JSON: {error}. It begins {text[:80]!r}") from error


@contextlib.contextmanager
def _read(what: str, answer: Any) -> Iterator[None]:
    """Read a part of an answer; where it is missing or of another type, raise an error of the server."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        shown = json.dumps(answer)
        raise ServingError("INTERNAL", f"the answer holds no {what}. It begins {shown[:200]}") from error


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
    if array.dtype.kind not in "biufU":
        raise ValueError(f"expected numbers or strings. Received: {array.dtype}.")
    if array.dtype.kind == "f":
        return array.astype("float32")
    if array.dtype.kind != "U":
        return array
    return np.array([v.encode() for v in array.reshape(-1)], object).reshape(array.shape)
