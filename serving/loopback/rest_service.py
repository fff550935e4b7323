"""The HTTP side of the loopback server."""

import base64
import binascii
import http.server
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from ..c_session import CSessionError
from ..client.as_integers import as_integers
from ..client.grpc_transport import MAX_MESSAGE_BYTES
from .loaded_version import INVALID_ARGUMENT, LoadedVersion, read_json
from .model_versions import NOT_FOUND, ModelVersions

_STATUSES = {3: 400, 4: 504, 5: 404, 8: 429, 9: 412, 12: 501, 14: 503}
_PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+))?(?P<what>/metadata|:predict)?")
# Of a body that stops coming.
_SECONDS_OF_SILENCE = 60


class _RefusedError(Exception):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_handler(models: Mapping[str, ModelVersions]) -> type[http.server.BaseHTTPRequestHandler]:
    """A handler of the REST API: `predict` with rows or columns, metadata and status.

    Args:
        models: versions by model name.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _SECONDS_OF_SILENCE

        def do_GET(self) -> None:
            self._answer(lambda: _respond(models, self.path, None))

        def do_POST(self) -> None:
            self._answer(lambda: _respond(models, self.path, self._body()))

        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed for each request."""

        def _body(self) -> bytes:
            """The posted body; the connection cannot be used further after a body that was not read."""
            self.close_connection = True
            length = self.headers.get("Content-Length")
            if length is None:
                raise _RefusedError(411, "Expected a Content-Length header: bodies in chunks are not read.")
            if not re.fullmatch("[0-9]+", length):
                raise _RefusedError(400, f"Expected Content-Length to be a number of bytes. Received: {length!r}.")
            if len(length) > len(str(MAX_MESSAGE_BYTES)) or int(length) > MAX_MESSAGE_BYTES:
                raise _RefusedError(
                    413, f"Expected a body of at most {MAX_MESSAGE_BYTES} bytes. Received: {length[:30]}."
                )
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                raise _RefusedError(400, f"Expected {length} bytes, and {len(body)} came.")
            self.close_connection = self.headers.get("Connection", "").lower() == "close"
            return body

        def _answer(self, respond: Callable[[], Any]) -> None:
            try:
                status, answer = 200, respond()
            except _RefusedError as error:
                status, answer = error.status, {"error": str(error)}
            except CSessionError as error:
                status, answer = _STATUSES.get(error.code, 500), {"error": str(error)}
            except TimeoutError:
                status, answer = 408, {"error": f"Nothing came for {_SECONDS_OF_SILENCE} seconds."}
            except Exception as error:
                # An error of this server fails only this request, and the caller sees it.
                status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)

    return Handler


def _respond(models: Mapping[str, ModelVersions], path: str, body: bytes | None) -> Any:
    found = _PATH.fullmatch(path)
    asks_scores = found is not None and found["what"] == ":predict"
    if found is None or asks_scores != (body is not None):
        raise CSessionError(f"Malformed request: {'POST' if body is not None else 'GET'} {path}", INVALID_ARGUMENT)
    name = urllib.parse.unquote(found["name"])
    if name not in models:
        raise CSessionError(f"Servable not found for request: Latest({name})", NOT_FOUND)
    if found["what"] is None:
        return {"model_version_status": [_status(models[name], *state) for state in models[name].states().items()]}
    version = int(found["version"]) if found["version"] else None
    with models[name].serving(name, version) as served:
        if body is None:
            signatures = {
                n: json_format.MessageToDict(s, preserving_proto_field_name=True)
                for n, s in served.signature_defs.items()
            }
            spec = {"name": name, "signature_name": "", "version": str(served.version)}
            return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
        return _predict(served, read_json(body))


def _status(models: ModelVersions, version: int, state: str) -> dict[str, Any]:
    error = models.errors.get(version, "")
    status = {"error_code": "UNKNOWN" if error else "OK", "error_message": error}
    return {"version": str(version), "state": state, "status": status}


def _predict(served: LoadedVersion, request: Any) -> Any:
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise CSessionError(
            "Missing 'inputs' or 'instances' key: the request is an object with exactly one of them.", INVALID_ARGUMENT
        )
    signature = request.get("signature_name", "")
    if not isinstance(signature, str):
        raise CSessionError(f"Expected 'signature_name' to be a string. Received: {signature!r}.", INVALID_ARGUMENT)
    signature = signature or "serving_default"
    inputs = dict(served.signature_defs[signature].inputs) if signature in served.signature_defs else {}
    in_rows = "instances" in request
    columns = _columns_of_rows(request["instances"], inputs) if in_rows else request["inputs"]
    if not isinstance(columns, dict):
        # A signature of one input may leave its name out.
        columns = {next(iter(inputs), "inputs"): columns}
    arrays = {
        name: _array(name, values, inputs[name]) if name in inputs else np.array([]) for name, values in columns.items()
    }
    outputs = {name: _to_json(values) for name, values in served.run(signature, arrays).items()}
    single = next(iter(outputs.values())) if len(outputs) == 1 else None
    if not in_rows:
        return {"outputs": outputs if single is None else single}
    rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
    return {"predictions": rows if single is None else single}


def _columns_of_rows(rows: Any, inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not rows:
        raise CSessionError("Expected 'instances' to be a list that is not empty.", INVALID_ARGUMENT)
    if not all(isinstance(row, dict) and row.keys() == rows[0].keys() and "b64" not in row for row in rows):
        if len(inputs) == 1:
            return {next(iter(inputs)): rows}
        raise CSessionError("Expected every instance to be an object with the same names.", INVALID_ARGUMENT)
    return {name: [row[name] for row in rows] for name in rows[0]}


def _array(name: str, values: Any, info: Any) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype)
    try:
        if dtype == tf.string:
            return _strings(values)
        array = np.array(values)
        if not array.size:
            # A list without numbers has no kind.
            return array.astype(dtype.as_numpy_dtype)
        if dtype.is_integer and array.dtype.kind in "fO":
            # NumPy makes other numbers of integers that 64 bits do not hold.
            exact = np.array(values, object)
            if all(type(value) is int for value in exact.reshape(-1)):
                return as_integers(exact, dtype.as_numpy_dtype)
        if array.dtype == object or array.dtype.kind not in "iuf" + ("b" if dtype == tf.bool else ""):
            raise ValueError(f"JSON values are not {dtype.name}")
        if dtype.is_integer and array.dtype.kind == "f":
            raise ValueError(f"JSON numbers with a fraction are not {dtype.name}")
        return as_integers(array, dtype.as_numpy_dtype) if dtype.is_integer else array.astype(dtype.as_numpy_dtype)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise CSessionError(
            f"Failed to process element of input {name!r}: {error}. Expected {dtype.name}.", INVALID_ARGUMENT
        ) from error


def _strings(values: Any) -> np.ndarray:
    def decoded(value: Any) -> Any:
        if isinstance(value, list):
            return [decoded(one) for one in value]
        if isinstance(value, dict) and list(value) == ["b64"]:
            return base64.b64decode(value["b64"], validate=True)
        if not isinstance(value, str):
            raise ValueError(f"JSON value {value!r} is not a string")
        return value.encode()

    found = decoded(values)
    if not isinstance(found, list):
        raise ValueError("expected a list")
    nested = bool(found) and isinstance(found[0], list)
    widths = {len(row) if isinstance(row, list) else -1 for row in found}
    if len(widths) > 1:
        raise ValueError("the lists differ in length")
    array = np.empty((len(found), *widths) if nested else len(found), object)
    for index, row in enumerate(found):
        array[index] = row
    return array


def _to_json(values: np.ndarray) -> Any:
    if values.dtype != object:
        return values.tolist()
    if values.ndim > 1:
        return [_to_json(row) for row in values]
    return [value.decode(errors="replace") for value in values]
