"""One column of one split in one `.npy` file: appended to while preparing, memory-mapped afterwards."""

from pathlib import Path
from types import TracebackType

import numpy as np


class ColumnWriter:
    """Append arrays to a `.npy` file whose number of rows is known beforehand.

    Args:
        path: the file; its folder exists.
        dtype: dtype of the array.
        shape: shape of the whole array, rows first.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self.path = path
        self._dtype = np.dtype(dtype)
        self._shape = shape
        self._rows = 0
        self._file = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, values: np.ndarray) -> None:
        """Add rows."""
        if values.shape[1:] != self._shape[1:]:
            raise ValueError(
                f"{self.path.stem}: expected rows of shape {self._shape[1:]}. Received: {values.shape[1:]}."
            )
        self._rows += len(values)
        self._file.write(np.ascontiguousarray(values, self._dtype).data)

    def close(self) -> None:
        """Finish the file; an error if the rows appended are not the rows announced."""
        self._file.close()
        if self._rows != self._shape[0]:
            raise ValueError(
                f"{self.path.stem}: the first pass over the data had {self._shape[0]} rows, the second {self._rows}. "
                "The source changed meanwhile; prepare again."
            )

    def __enter__(self) -> "ColumnWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def open_column(path: Path, rows: int) -> np.ndarray:
    """Memory-map a column, or say which file is missing, truncated or of another table."""
    remedy = "Delete the prepared folder and prepare the data again."
    if not path.is_file():
        raise ValueError(f"The prepared column {path} is missing. {remedy}")
    try:
        column: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"The prepared column {path} is truncated or damaged ({error}). {remedy}") from error
    if len(column) != rows:
        raise ValueError(f"The prepared column {path} must have {rows} rows. Received: {len(column)}. {remedy}")
    return column
