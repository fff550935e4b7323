"""A file of arrays with a checksum that shows whether it is complete."""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from ..files import whole_file


class StateFile:
    """A JSON value and named arrays behind a checksum of both.

    A full disk raises an error here, where HDF5, which Keras uses for weights, ends the process. Arrays are written one
    at a time, so memory holds no second copy of a model.

    Args:
        path: the file.

    Example:

    >>> import tempfile
    >>> file = StateFile(Path(tempfile.mkdtemp()) / "epoch.state")
    >>> file.write({"epoch": 1}, [("kernel", np.ones(2))])
    >>> file.is_whole(), file.value(), dict(file.arrays())
    (True, {'epoch': 1}, {'kernel': array([1., 1.])})
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, value: Any, arrays: Iterable[tuple[str, Any]]) -> None:
        """Write the file, read it again, and give it its name only if the content is right.

        Args:
            value: what JSON can hold.
            arrays: names, and arrays or Keras variables.

        Raises:
            OSError: if there is no room, or the disk returns other bytes than it was given.
        """
        arrays = list(arrays)
        header = {"value": value, "arrays": [[name, keras.backend.standardize_dtype(a.dtype)] for name, a in arrays]}
        with whole_file(self.path) as partial:
            with open(partial, "wb") as file:
                # The checksum's place.
                file.write(bytes(hashlib.sha256().digest_size))
                content = _Hashing(file)
                content.write(json.dumps(header).encode() + b"\n")
                for _, array in arrays:
                    values = keras.ops.convert_to_numpy(array)
                    # NumPy does not know bfloat16 and its like again.
                    values = values.view(f"u{values.itemsize}") if values.dtype.kind == "V" else values
                    np.save(content, values, allow_pickle=False)
                file.seek(0)
                file.write(content.digest)
            if not StateFile(partial).is_whole():
                raise OSError(f"{self.path} was not written: the disk returns other bytes than it was given.")

    def is_whole(self) -> bool:
        """Whether the file is the one that was written."""
        with open(self.path, "rb") as file:
            checksum = file.read(hashlib.sha256().digest_size)
            return checksum == hashlib.file_digest(file, "sha256").digest()

    def value(self) -> Any:
        """The JSON value."""
        with open(self.path, "rb") as file:
            return _header(file)["value"]

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays with their names, in the order in which they were written."""
        with open(self.path, "rb") as file:
            for name, dtype in _header(file)["arrays"]:
                array = np.load(file, allow_pickle=False)
                yield name, array if array.dtype.name == dtype else array.view(dtype)


class _Hashing(io.RawIOBase):
    """Passes bytes on, and takes their checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    @property
    def digest(self) -> bytes:
        return self._sha256.digest()


def _header(file: IO[bytes]) -> dict[str, Any]:
    file.seek(hashlib.sha256().digest_size)
    found: dict[str, Any] = json.loads(file.readline())
    return found
