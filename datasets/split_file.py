"""All columns of one split in one file: appended to while preparing, memory-mapped afterwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

# Where columns begin, as in NumPy's own files.
_ALIGNMENT = 64


class SplitWriter:
    """Append rows to all columns of a file whose number of rows is known beforehand.

    The file holds one NumPy array (`.npy`, header and values) after the other, each from a multiple of 64 bytes on. So
    a table needs one open file per split, however many columns it has, and one memory map shows all of them.

    Args:
        path: the file; its folder exists.
        rows: rows in all.
        first: column name to array, with the dtype and the shape of a row that every later array has too. Nothing of it
            is written.
    """

    def __init__(self, path: Path, rows: int, first: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self._rows = rows
        self._done = 0
        self._like = {name: (values.dtype, values.shape[1:]) for name, values in first.items()}
        self._starts: dict[str, int] = {}
        self._file = path.open("wb")
        for name, (dtype, row_shape) in self._like.items():
            self._skip_to_a_start()
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, *row_shape)}
            np.lib.format.write_array_header_1_0(self._file, header)
            self._starts[name] = self._file.tell()
            self._file.seek(_bytes_of(dtype, (rows, *row_shape)), 1)
        self._file.truncate(self._file.tell())

    def _skip_to_a_start(self) -> None:
        self._file.seek(_next_start(self._file.tell()))

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add rows to every column.

        Raises:
            ValueError: if a column's rows changed their shape, or there are more rows than announced.
        """
        count = len(next(iter(arrays.values())))
        for name, values in arrays.items():
            if values.shape[1:] != self._like[name][1]:
                raise ValueError(f"{name}: expected rows of shape {self._like[name][1]}. Received: {values.shape[1:]}.")
        if self._done + count > self._rows:  # they would lie over the next column
            raise self._changed(f"more than {self._rows}")
        for name, values in arrays.items():
            dtype, row_shape = self._like[name]
            self._file.seek(self._starts[name] + _bytes_of(dtype, (self._done, *row_shape)))
            self._file.write(np.ascontiguousarray(values, dtype).data)
        self._done += count

    def close(self) -> None:
        """Finish the file; an error if the rows appended are not the rows announced."""
        self._file.close()
        if self._done != self._rows:
            raise self._changed(str(self._done))

    def _changed(self, found: str) -> ValueError:
        return ValueError(
            f"{self.path.stem}: the first pass over the data had {self._rows} rows, and the second had {found}. "
            "The source changed meanwhile; prepare again."
        )

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def split_path(folder: Path, split: str) -> Path:
    """Where a split's columns lie."""
    return folder / f"{split}.npy"


def part_folder(folder: Path, part: int) -> Path:
    """Where a part of the columns lies, if a table has several.

    Example:
    >>> part_folder(Path("columns"), 7).name
    'part-00007'
    """
    return folder / f"part-{part:05d}"


def open_split(path: Path, names: Sequence[str], rows: int) -> dict[str, np.ndarray]:
    """Memory-map the columns of a file that `SplitWriter` wrote.

    Args:
        path: the file.
        names: names of its columns, in order.
        rows: how many rows each must have.

    Raises:
        ValueError: if the content shows that the file is missing, truncated or of another table.
        OSError: if the file could not be opened; its content may be good.
    """
    if not path.exists():
        raise ValueError(f"The prepared file {path} is missing. Put it back, or prepare the data again elsewhere.")
    regions = {}
    with path.open("rb") as file:
        for name in names:
            file.seek(_next_start(file.tell()))
            try:
                dtype, shape = _read_header(file)
            except ValueError as error:
                raise _damaged(path, f"column {name!r} has no header: {error}") from error
            if shape[:1] != (rows,):
                raise ValueError(
                    f"The prepared file {path} must have {rows} rows. Received: column {name!r} of shape {shape}. It "
                    "belongs to another table: copy the whole folder again, or prepare the data again elsewhere."
                )
            regions[name] = (file.tell(), dtype, shape)
            file.seek(_bytes_of(dtype, shape), 1)
        expected = file.tell()
        found = file.seek(0, 2)
    if found != expected:
        raise _damaged(path, f"expected {expected} bytes, found {found}")
    mapped = np.memmap(path, np.uint8, mode="r")
    columns = {}
    for name, (start, dtype, shape) in regions.items():
        columns[name] = mapped[start : start + _bytes_of(dtype, shape)].view(dtype).reshape(shape)
    return columns


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"The prepared file {path} is truncated or damaged ({reason}). Delete the prepared folder and prepare the data "
        "again."
    )


def _read_header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"expected version (1, 0) of NumPy's format. Received: {version}")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran_order or dtype.hasobject:
        raise ValueError(f"expected numbers, rows first. Received: {dtype}, fortran_order={fortran_order}")
    return dtype, shape


def _bytes_of(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def _next_start(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
