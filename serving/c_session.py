"""Runs a SavedModel with TensorFlow's C library, as a server written in C++ does.

`python c_session.py SAVED_MODEL INPUTS OUTPUTS` reads calls `(signature, columns)` from the pickle `INPUTS` and writes
their outputs, `{output: array}` each, to the pickle `OUTPUTS`. It needs NumPy and the library of the installed
TensorFlow and imports none of TensorFlow's Python. So a model that runs here needs no op that only Python knows.
"""

import contextlib
import ctypes
import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# TF_DataType of what our signatures take and give; strings are pointers, handled apart.
_DTYPES: dict[int, Any] = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}
_STRING = 7
_INVALID = 3  # TF_INVALID_ARGUMENT
_EXHAUSTED = 8  # TF_RESOURCE_EXHAUSTED
_STRING_BYTES = 24  # sizeof(TF_TString)


class CSessionError(RuntimeError):
    """The error that the library returns.

    Args:
        message: text of the error.
        code: its `TF_Code`, numbered as gRPC's status codes.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class CSession:
    """A SavedModel loaded by `TF_LoadSessionFromSavedModel`; threads may run it side by side.

    Args:
        saved_model: the version folder.

    Raises:
        CSessionError: with the library's own message, when it does not load or a run fails.
        FileNotFoundError: when the installed TensorFlow brings no C library.

    Example:

    ```python
    session = CSession(Path("saved_models/my_model/1"))
    session.run("serving_default", {"user_id": np.array([b"u1"], object), "bid": np.array([0.5], "float32")})
    ```
    """

    def __init__(self, saved_model: Path) -> None:
        self.signatures = read_signatures(saved_model)
        self._library = c = _load_library()
        self._graph = _pointer(c.TF_NewGraph)
        options = _pointer(c.TF_NewSessionOptions)
        tags = (ctypes.c_char_p * 1)(b"serve")
        with self._status(f"{saved_model} does not load") as status:
            # The arguments after the tags are their number, the graph, and where the MetaGraphDef goes.
            self._session = _pointer(
                c.TF_LoadSessionFromSavedModel,
                options, None, str(saved_model).encode(), tags, 1, self._graph, None, status,
            )  # fmt: skip
        c.TF_DeleteSessionOptions(ctypes.c_void_p(options))

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name.

        Args:
            signature: its name.
            inputs: its inputs by name; strings as object arrays of bytes.
        """
        with self.bound(signature, inputs) as call:
            return call()

    @contextlib.contextmanager
    def bound(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Iterator[Callable[[], dict[str, np.ndarray]]]:
        """A function that runs a signature on inputs handed to the library once, as often as you like.

        Args:
            signature: its name.
            inputs: as for `run`.
        """
        wanted, given = self.signatures[signature]
        names, outputs = sorted(wanted), sorted(given)
        missing = [name for name in names if name not in inputs]
        if missing:
            raise CSessionError(f"Signature {signature!r} lacks the inputs {missing}. Expected: {names}.", _INVALID)
        sources, targets = (
            self._places([part[name][0] for name in chosen]) for part, chosen in ((wanted, names), (given, outputs))
        )
        tensors: list[int] = []
        try:
            for name in names:
                tensors.append(self._tensor(name, inputs[name], wanted[name][1]))
            yield self._call(signature, sources, (ctypes.c_void_p * len(names))(*tensors), targets, outputs)
        finally:
            self._free(tensors)

    def _call(
        self, signature: str, sources: Any, tensors: Any, targets: Any, outputs: list[str]
    ) -> Callable[[], dict[str, np.ndarray]]:
        c = self._library

        def call() -> dict[str, np.ndarray]:
            results = (ctypes.c_void_p * len(outputs))()
            try:
                with self._status(f"Signature {signature!r} fails") as status:
                    c.TF_SessionRun(
                        ctypes.c_void_p(self._session), None, sources, tensors, len(tensors), targets, results,
                        len(outputs), None, 0, None, ctypes.c_void_p(status),
                    )  # fmt: skip
                return {name: self._array(result) for name, result in zip(outputs, results, strict=True)}
            finally:
                self._free(result for result in results if result)

        return call

    def _free(self, tensors: Iterable[int]) -> None:
        for tensor in tensors:
            self._library.TF_DeleteTensor(ctypes.c_void_p(tensor))

    def close(self) -> None:
        """Free the model's memory; the session cannot run any more."""
        with self._status("The session does not close") as status:
            self._library.TF_DeleteSession(ctypes.c_void_p(self._session), ctypes.c_void_p(status))
        self._library.TF_DeleteGraph(ctypes.c_void_p(self._graph))

    def _places(self, tensors: list[str]) -> Any:
        places = (_Output * len(tensors))()
        for place, tensor in zip(places, tensors, strict=True):
            operation, _, index = tensor.partition(":")
            place.operation = _pointer(self._library.TF_GraphOperationByName, self._graph, operation.encode())
            place.index = int(index or 0)
            if not place.operation:
                raise RuntimeError(f"The graph has no operation {operation!r}.")
        return places

    def _tensor(self, name: str, values: np.ndarray, dtype: int) -> int:
        c = self._library
        array = np.ascontiguousarray(values, None if dtype == _STRING else _DTYPES[dtype])
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = array.size * _STRING_BYTES if dtype == _STRING else array.nbytes
        tensor = _pointer(c.TF_AllocateTensor, ctypes.c_int(dtype), shape, array.ndim, ctypes.c_size_t(size))
        if not tensor:
            raise CSessionError(f"Input {name!r} of shape {array.shape} does not fit into memory.", _EXHAUSTED)
        data = _pointer(c.TF_TensorData, tensor)
        if dtype != _STRING:
            ctypes.memmove(data, array.ctypes.data, array.nbytes)
            return tensor
        for index, value in enumerate(array.ravel()):
            place = ctypes.c_void_p(data + index * _STRING_BYTES)
            c.TF_StringInit(place)
            encoded = value if isinstance(value, bytes) else str(value).encode()
            c.TF_StringCopy(place, encoded, ctypes.c_size_t(len(encoded)))
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        c, pointer = self._library, ctypes.c_void_p(tensor)
        shape = tuple(int(c.TF_Dim(pointer, axis)) for axis in range(int(c.TF_NumDims(pointer))))
        dtype, data = int(c.TF_TensorType(pointer)), _pointer(c.TF_TensorData, tensor)
        count = int(np.prod(shape, dtype="int64"))
        if dtype != _STRING:
            size = count * np.dtype(_DTYPES[dtype]).itemsize
            return np.frombuffer(ctypes.string_at(data, size), _DTYPES[dtype]).reshape(shape).copy()
        strings = np.empty(count, object)
        for index in range(count):
            place = ctypes.c_void_p(data + index * _STRING_BYTES)
            size = int(c.TF_StringGetSize(place))
            strings[index] = ctypes.string_at(_pointer(c.TF_StringGetDataPointer, place), size)
        return strings.reshape(shape)

    @contextlib.contextmanager
    def _status(self, what: str) -> Iterator[int]:
        """A status to pass to the library; raises afterwards unless it is a success."""
        c, status = self._library, _pointer(self._library.TF_NewStatus)
        try:
            yield status
            code = int(c.TF_GetCode(ctypes.c_void_p(status)))
            if code:
                raise CSessionError(f"{what}: {_text(c.TF_Message, status)}", code)
        finally:
            c.TF_DeleteStatus(ctypes.c_void_p(status))


class _Output(ctypes.Structure):
    """`TF_Output`: an operation's output by number."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def has_c_library() -> bool:
    """Whether the installed TensorFlow brings its C library where this module looks for it."""
    return all(path.exists() for path in _library_paths())


def _library_paths() -> list[Path]:
    spec = importlib.util.find_spec("tensorflow")
    folder = Path(str(spec.origin)).parent if spec is not None else Path("tensorflow")
    ending = ".2.dylib" if sys.platform == "darwin" else ".so.2"
    return [folder / f"libtensorflow_{part}{ending}" for part in ("framework", "cc")]


def _load_library() -> Any:
    paths = _library_paths()
    if not has_c_library():
        raise FileNotFoundError(f"The C library of TensorFlow is not installed: {', '.join(map(str, paths))}.")
    # The second needs symbols of the first, and exports those of both.
    return [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in paths][1]


def _pointer(function: Any, *arguments: Any) -> int:
    function.restype = ctypes.c_void_p
    function.argtypes = None
    return function(*(ctypes.c_void_p(a) if isinstance(a, int) and a > 2**16 else a for a in arguments)) or 0


def _text(function: Any, pointer: int) -> str:
    function.restype = ctypes.c_char_p
    return (function(ctypes.c_void_p(pointer)) or b"").decode(errors="replace")


Tensors = dict[str, tuple[str, int]]


def read_signatures(saved_model: Path) -> dict[str, tuple[Tensors, Tensors]]:
    """Inputs and outputs of a SavedModel's signatures, as graph tensors with their dtype numbers, by name.

    Reads the protocol buffers by their field numbers: their Python classes come with the whole of TensorFlow.
    """
    signatures = {}
    model = memoryview((saved_model / "saved_model.pb").read_bytes())
    for graph in (value for number, value in _fields(model) if number == 2):  # SavedModel.meta_graphs
        for entry in (value for number, value in _fields(graph) if number == 5):  # MetaGraphDef.signature_def
            name, signature = _entry(entry)
            if not name.startswith("__"):
                parts: dict[int, Tensors] = {1: {}, 2: {}}  # SignatureDef.inputs, outputs
                for number, value in _fields(signature):
                    if number in parts:
                        tensor, info = _entry(value)
                        found = dict(_fields(info))
                        parts[number][tensor] = (bytes(found[1]).decode(), int(found[2]))  # TensorInfo.name, dtype
                signatures[name] = (parts[1], parts[2])
    return signatures


def _entry(entry: memoryview) -> tuple[str, memoryview]:
    found = dict(_fields(entry))
    return bytes(found[1]).decode(), found.get(2, memoryview(b""))


def _fields(buffer: memoryview) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a message on the wire."""
    position = 0
    while position < len(buffer):
        key, position = _varint(buffer, position)
        if key & 7 == 0:
            value, position = _varint(buffer, position)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, position = _varint(buffer, position)
        else:
            size = {1: 8, 5: 4}[key & 7]
        yield key >> 3, buffer[position : position + size]
        position += size


def _varint(buffer: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def main(saved_model: str, inputs: str, outputs: str) -> None:
    """Answer the pickled inputs."""
    session = CSession(Path(saved_model))
    calls = pickle.loads(Path(inputs).read_bytes())
    answers = [session.run(signature, columns) for signature, columns in calls]
    Path(outputs).write_bytes(pickle.dumps(answers))
    tensorflow: Any = [name for name in sys.modules if name.split(".")[0] == "tensorflow"]
    if tensorflow:
        raise SystemExit(f"Python TensorFlow was imported: {tensorflow[:3]}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
