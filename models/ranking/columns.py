"""Columns of many candidates that a dense layer reads without their being written out."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from .candidate_rows import CandidateRows, Once


class Columns:
    """Columns of candidates, some of which are linear in few others.

    With `e` the columns that every candidate has for itself, the rows are

        [[r, 1] M, e]   in the order of `places`

    where `M` belongs to the request. In the plainest case there is no `r`. Then `M` is one row with the request's
    columns, which are the same for all its candidates. After `crosses_by_side` the request's half is linear in `r`.

    A dense layer with the kernel `[Kₘ, Kₑ]` makes `[r, 1] (M Kₘ) + e Kₑ` of them. `M Kₘ` is multiplied once per
    request, and the columns of `[r, 1] M`, which may be many more than those of `r`, are never written out. The last
    column of `M` is that of the number 1 itself, so that the last row of `Kₘ` is the layer's bias.

    Args:
        rows: which row belongs to which request.
        matrix: `M`, `(requests, columns + 1)` without `r`, else `(columns of r + 1, columns + 1)` of the one request;
            `None` if all columns are the candidates' own.
        read: `r`, or `None`.
        each: tensors that are `e` side by side.
        places: place in a row of each column, those of `M` first.

    Example:

    >>> columns = Columns.of(CandidateRows(1, 2), [np.array([[5.0], [7.0]]), Once(np.array([[1.0]]))])
    >>> ops.convert_to_numpy(columns.value()).tolist()
    [[5.0, 1.0], [7.0, 1.0]]
    >>> layer = keras.layers.Dense(1, kernel_initializer="ones")
    >>> layer.build((None, 2))
    >>> ops.convert_to_numpy(columns.dense([layer])[0])[:, 0].tolist()
    [6.0, 8.0]
    """

    def __init__(self, rows: CandidateRows, matrix: Any, read: Any, each: Sequence[Any], places: np.ndarray) -> None:
        self.rows, self.matrix, self.read, self.each, self.places = rows, matrix, read, list(each), places
        self._value: Any = None

    @classmethod
    def of(cls, rows: CandidateRows, parts: Sequence[Any]) -> "Columns":
        """Tensors of both kinds side by side: one row per candidate, or wrapped in `Once`."""
        ends = np.cumsum([0, *((part.value if isinstance(part, Once) else part).shape[-1] for part in parts)])
        spans = [np.arange(start, end) for start, end in itertools.pairwise(ends)]
        order = sorted(range(len(parts)), key=lambda index: not isinstance(parts[index], Once))
        once = [part.value for part in parts if isinstance(part, Once)]
        each = [part for part in parts if not isinstance(part, Once)]
        matrix = ops.pad(_joined(once), [[0, 0], [0, 1]], constant_values=1.0) if once else None
        return cls(
            rows, matrix, None, [_joined(each)] if each else [], np.concatenate([spans[index] for index in order])
        )

    @property
    def request_places(self) -> np.ndarray:
        """Places of the columns of `M`."""
        return self.places[: 0 if self.matrix is None else self.matrix.shape[-1] - 1]

    @property
    def each_places(self) -> np.ndarray:
        """Places of the candidates' own columns."""
        return self.places[len(self.request_places) :]

    def joined(self, columns: Any) -> "Columns":
        """These and more of the candidates' own columns, on the right."""
        width = len(self.places)
        places = np.concatenate([self.places, np.arange(width, width + columns.shape[-1])])
        return Columns(self.rows, self.matrix, self.read, [*self.each, columns], places)

    def value(self) -> Any:
        """All columns written out, `(rows, columns)`."""
        if self._value is None:
            once = [] if self.matrix is None else [self.matrix[:, :-1]]
            if self.read is not None:
                written = [self.rows.add(ops.matmul(self.read, once[0][:-1]), once[0][-1:])]
            else:
                written = [self.rows.repeat(part) for part in once]
            self._value = _in_order(ops.concatenate([*written, *self.each], axis=-1), self.places)
        return self._value

    def dense(self, layers: Sequence[keras.layers.Dense]) -> list[Any]:
        """What dense layers make of the columns, all of them in one product.

        Args:
            layers: built layers of one activation and dtype; all with a bias or none.
        """
        dtype, units = layers[0].compute_dtype, [layer.units for layer in layers]

        def bias() -> Any:
            return ops.concatenate([layer.bias if layer.use_bias else ops.zeros(layer.units) for layer in layers])

        def kernel(places: np.ndarray, with_bias: bool) -> Any:
            rows = ops.take(ops.concatenate([layer.kernel for layer in layers], axis=1), places, axis=0)
            return ops.concatenate([rows, ops.expand_dims(bias(), 0)], axis=0) if with_bias else rows

        def arranged(what: str, arrange: Any) -> Any:
            key = (what, *(layer.path for layer in layers), len(self.request_places), self.places.tobytes())
            return ops.cast(self.rows.arranged(key, arrange), dtype)

        each = arranged("each", lambda: kernel(self.each_places, False))
        if self.matrix is None:
            y = ops.matmul(ops.cast(_joined(self.each), dtype), each) + arranged("bias", bias)
        else:
            y = self.multiply(arranged("request", lambda: kernel(self.request_places, True)), each, dtype)
        y = layers[0].activation(y)
        return ops.split(y, np.cumsum(units)[:-1].tolist(), axis=-1) if len(layers) > 1 else [y]

    def multiply(self, request: Any, each: Any, dtype: Any) -> Any:
        """The product with a kernel given by its rows.

        Args:
            request: the rows of the columns of `M`, that of the bias last.
            each: the rows of the candidates' own columns.
            dtype: in what to multiply.
        """
        product = ops.matmul(ops.cast(self.matrix, dtype), request)
        y = ops.matmul(ops.cast(_joined(self.each), dtype), each)
        if self.read is None:
            return self.rows.add(y, product)
        # One product of everything side by side would need copies of all of it, which take longer than this sum.
        return y + self.rows.add(ops.matmul(ops.cast(self.read, dtype), product[:-1]), product[-1:])


def _joined(tensors: Sequence[Any]) -> Any:
    return ops.concatenate(tensors, axis=-1) if len(tensors) > 1 else tensors[0]


def _in_order(columns: Any, places: np.ndarray) -> Any:
    """Columns put at their places, as whole runs of neighbours."""
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    if not len(ends):
        return columns
    runs = ops.split(columns, ends.tolist(), axis=-1)
    return ops.concatenate([runs[index] for index in np.argsort(places[[0, *ends]])], axis=-1)
