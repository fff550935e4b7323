"""A column that lies in several files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class PartedColumn(NDArrayOperatorsMixin):
    """The rows of several arrays, one after the other, without a copy.

    A table that an engine prepared has a file for each part of its rows. A row or some rows are read from the files
    that hold them, and a slice is again a `PartedColumn`. NumPy's functions and comparisons, and `np.asarray`, read all
    rows into memory.

    Args:
        parts: the arrays; rows have one dtype and one shape.

    Raises:
        ValueError: if there is no part, or rows differ in dtype or shape.

    Example:
    >>> column = PartedColumn([np.array([1, 2]), np.array([3, 4, 5])])
    >>> len(column), column[[4, 0]], np.asarray(column[1:4])
    (5, array([5, 1]), array([2, 3, 4]))
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        rows = {f"{part.dtype} of shape {part.shape[1:]}" for part in parts}
        if len(rows) != 1:
            raise ValueError(f"The parts of a column need rows of one dtype and shape. Received: {sorted(rows)}.")
        # np.asarray drops the memmap subclass, whose indexing costs several times an array's; the files stay mapped.
        self._parts = [np.asarray(part) for part in parts]
        self._starts = np.cumsum([0, *map(len, parts)])
        self.dtype: np.dtype = parts[0].dtype
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, tuple):
            return np.asarray(self[rows[0]])[(slice(None), *rows[1:])]
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            spans = zip(self._parts, self._starts[:-1].tolist(), strict=True)
            cut = [part[max(start - first, 0) : max(stop - first, 0)] for part, first in spans]
            return PartedColumn([part for part in cut if len(part)] or cut[:1])
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return self.take(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])[()]

    def take(self, rows: Any, axis: int = 0, out: None = None, mode: str = "raise") -> np.ndarray:
        """As NumPy's `take` along the first axis: the rows of some numbers, negative ones counted from the end."""
        rows = np.asarray(rows)
        if mode == "clip":
            rows = np.clip(rows, 0, len(self) - 1)
        elif rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"The column has {len(self)} rows. Received: rows {rows.min()} to {rows.max()}.")
        rows = np.where(rows < 0, rows + len(self), rows)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for number in np.unique(part_of):
            here = part_of == number
            found[here] = self._parts[number].take(rows[here] - self._starts[number], axis=0)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if len(self._parts) == 1:
            return np.array(self._parts[0], dtype, copy=copy)
        if copy is False:
            raise ValueError("The parts of a column lie in several files; an array of them is a copy.")
        whole = np.concatenate(self._parts)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(value) if isinstance(value, PartedColumn) else value for value in inputs]
        return getattr(function, method)(*arrays, **options)
