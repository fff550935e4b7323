"""How rows of candidates belong to requests."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


class CandidateRows:
    """Rows of several requests with as many candidates each, one request's after the other's.

    Tensors with a row a request are "once", those with a row a candidate are "each".

    Args:
        requests: number of requests, an integer or a scalar tensor.
        candidates: candidates of a request, likewise.
        kept: weights arranged before, by key; a dict takes those that it lacks. Defaults to none.
        fewest: set for one request with at least as many candidates, which a backbone then computes by side (see
            `Backbone.least_candidates`). Defaults to `None`.

    Example:

    >>> import numpy as np
    >>> rows = CandidateRows(2, 3)
    >>> ops.convert_to_numpy(rows.repeat(np.array([[1], [2]])))[:, 0].tolist()
    [1, 1, 1, 2, 2, 2]
    >>> ops.convert_to_numpy(rows.add(np.arange(6)[:, None], np.array([[10], [20]])))[:, 0].tolist()
    [10, 11, 12, 23, 24, 25]
    """

    def __init__(
        self, requests: Any, candidates: Any, kept: Mapping[str, Any] | None = None, fewest: int | None = None
    ) -> None:
        self.requests, self.candidates, self.fewest, self._kept = requests, candidates, fewest, kept

    def weights(self, key: str, arrange: Callable[[], Any]) -> Any:
        """Weights in another arrangement: what `arrange` gives, or what it gave when weights were kept.

        Args:
            key: names the arrangement, the layer's path in it.
            arrange: makes it of the layer's weights.
        """
        if self._kept is not None and key in self._kept:
            return ops.convert_to_tensor(self._kept[key])
        arranged = arrange()
        if isinstance(self._kept, dict):
            self._kept[key] = arranged
        return arranged

    def repeat(self, once: Any) -> Any:
        """A row a request, given to each of its candidates."""
        once, tail = ops.convert_to_tensor(once), tuple(once.shape[1:])
        return self.flat(ops.broadcast_to(ops.expand_dims(once, 1), (self.requests, self.candidates, *tail)))

    def repeat_all(self, once: Mapping[str, Any]) -> dict[str, Any]:
        """`repeat` for each of several `(requests, width)`: one operation, however many there are."""
        ends = np.cumsum([value.shape[1] for value in once.values()])[:-1].tolist()
        repeated = self.repeat(ops.concatenate(list(once.values()), axis=1))
        return dict(zip(once, ops.split(repeated, ends, axis=1), strict=True))

    def add(self, each: Any, once: Any) -> Any:
        """The sum of both, `(rows, ...)`; no repetition is written to memory."""
        if self.fewest is not None:
            # A vector, as a layer's bias: the sum is then one with the product before it. Not by a reshape, of which
            # TensorFlow's optimizer would conclude that there is one request in the graph's other branch, too.
            return each + once[0]
        return self.flat(self.by_request(each) + ops.expand_dims(once, 1))

    def by_request(self, each: Any) -> Any:
        """`(rows, ...)` as `(requests, candidates, ...)`."""
        each = ops.convert_to_tensor(each)
        return ops.reshape(each, (self.requests, self.candidates, *each.shape[1:]))

    def flat(self, lists: Any) -> Any:
        """`(requests, candidates, ...)` as `(rows, ...)`."""
        return ops.reshape(lists, (-1, *lists.shape[2:]))

    def dense(self, layer: keras.layers.Dense, inputs: Sequence[tuple[Any, bool]]) -> Any:
        """What a dense layer makes of inputs side by side, the part that comes once multiplied once.

        Args:
            layer: the layer.
            inputs: `(tensor, once)` in the order of the layer's inputs, some of either kind.
        """
        dtype, start = layer.compute_dtype, 0
        parts: dict[bool, list[Any]] = {True: [], False: []}
        positions: dict[bool, list[Any]] = {True: [], False: []}
        for value, once in inputs:
            parts[once].append(ops.cast(value, dtype))
            positions[once].append(np.arange(start, start + value.shape[-1]))
            start += value.shape[-1]

        def product(once: bool) -> Any:
            places = np.concatenate(positions[once]).astype("int32")
            key = f"{layer.path}/kernel/{'once' if once else 'each'}"
            kernel = self.weights(key, lambda: ops.take(layer.kernel, places, axis=0))
            return ops.matmul(ops.concatenate(parts[once], axis=-1), ops.cast(kernel, dtype))

        shared = product(True)
        if layer.use_bias:
            shared = shared + ops.cast(layer.bias, dtype)
        return layer.activation(self.add(product(False), shared))
