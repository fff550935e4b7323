"""Rows of one request's candidates that a dense layer need not read column by column."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ...layers import MLP
from .candidate_rows import CandidateRows
from .joined_dense import JoinedDense


class FactoredRows:
    """Rows some columns of which are products that need not be multiplied out.

    Those columns are a linear function of fewer ones, `read`, whose matrix is the request's. A dense layer reads them
    through the product of both matrices, which is made once a request: less work than to write the columns out where
    the layer has few units and the request many candidates.

    Args:
        rows: which row belongs to which request; of one request.
        read: tensors with a row a candidate.
        folded: makes of kernel rows `(columns + 1, units)`, those of the product's columns and the bias, what a layer
            adds to all rows, `(1, units)`, and its kernel on `read`.
        written: gives the product's columns.
        widest: layers with more units read the columns written out; `None`: none do.
        direct: the other columns, tensors with a row a candidate.
        order: place of each column among all, those of the product first.

    Example:

    >>> import numpy as np
    >>> one, two = np.array([[1], [2]], "float32"), np.array([[5], [7]], "float32")
    >>> rows = FactoredRows(
    ...     CandidateRows(1, 2, fewest=2),
    ...     read=[one],
    ...     folded=lambda kernel: (kernel[:1] + kernel[1:], 3 * kernel[:1]),
    ...     written=lambda: 1 + 3 * one,
    ...     widest=8,
    ...     direct=[two],
    ...     order=[1, 0],
    ... )
    >>> ops.convert_to_numpy(rows.value()).tolist()
    [[5.0, 4.0], [7.0, 7.0]]
    >>> layer = keras.layers.Dense(1, kernel_initializer="ones")
    >>> layer.build((None, 2))
    >>> ops.convert_to_numpy(rows.dense(layer))[:, 0].tolist()
    [9.0, 14.0]
    """

    def __init__(
        self,
        rows: CandidateRows,
        read: Sequence[Any],
        folded: Callable[[Any], tuple[Any, Any]],
        written: Callable[[], Any],
        widest: int | None,
        direct: Sequence[Any],
        order: Any,
    ) -> None:
        self._rows, self._read, self._direct = rows, list(read), list(direct)
        self._folded, self._written, self._widest = folded, written, widest
        self._order = np.asarray(order, "int32")
        self._columns = len(self._order) - sum(part.shape[-1] for part in self._direct)

    def joined(self, columns: Any) -> "FactoredRows":
        """These rows and more columns, on the right."""
        width = len(self._order)
        order = np.concatenate([self._order, np.arange(width, width + columns.shape[-1])])
        direct = [*self._direct, columns]
        return FactoredRows(self._rows, self._read, self._folded, self._written, self._widest, direct, order)

    def value(self) -> Any:
        """The rows as one tensor."""
        columns = ops.concatenate([self._written(), *self._direct], axis=-1)
        return in_order(columns, self._order)

    def through(self, network: MLP) -> Any:
        """What a network makes of the rows: these, if it has no layers."""
        return self if network.first is None else network.after_first(self.dense(network.first))

    def dense(self, layer: keras.layers.Dense) -> Any:
        """What a dense layer makes of the rows."""
        reader = JoinedDense([layer])
        return reader.activation(self.product(reader))

    def product(self, reader: JoinedDense) -> Any:
        """The rows' product with a kernel, plus a bias."""

        def of_product() -> Any:
            kernel = ops.take(reader.kernel(), self._order[: self._columns], axis=0)
            return ops.concatenate([kernel, ops.expand_dims(reader.bias(), 0)], axis=0)

        def of_direct() -> Any:
            return ops.take(reader.kernel(), self._order[self._columns :], axis=0)

        kernel = ops.cast(self._rows.weights(f"{reader.key}/product", of_product), reader.dtype)
        direct = ops.cast(self._rows.weights(f"{reader.key}/direct", of_direct), reader.dtype)
        if self._widest is not None and reader.units > self._widest:
            read, constant, kernel = [self._written()], kernel[self._columns :], kernel[: self._columns]
        else:
            read, (constant, kernel) = self._read, self._folded(kernel)
        inputs = ops.cast(ops.concatenate([*read, *self._direct], axis=-1), reader.dtype)
        return self._rows.add(ops.matmul(inputs, ops.concatenate([kernel, direct], axis=0)), constant)


def in_order(columns: Any, order: np.ndarray) -> Any:
    """Columns that stand at the places `order`, put there run by run."""
    back = np.argsort(order)
    ends = [*(np.flatnonzero(np.diff(back) != 1) + 1), len(back)]
    starts = [0, *ends[:-1]]
    runs = [columns[:, back[start] : back[start] + end - start] for start, end in zip(starts, ends, strict=True)]
    return ops.concatenate(runs, axis=-1)
