"""Which row of the candidates belongs to which request."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from keras import ops

# Called with a key and a function that brings weights into the order in which they are read; returns what to read.
Arranged = Callable[[Hashable, Callable[[], Any]], Any]


def arrange_anew(key: Hashable, arrange: Callable[[], Any]) -> Any:
    """Weights in the order in which they are read, made of the layers' weights as they are now."""
    return arrange()


@dataclasses.dataclass(frozen=True, eq=False)
class Once:
    """A tensor with one row per request; plain tensors have one row per candidate."""

    value: Any


class CandidateRows:
    """Rows of several requests with as many candidates each, one request's after the other's.

    Args:
        requests: number of requests, an integer or a scalar tensor; `None` if every row is a request of its own.
        candidates: candidates of a request, likewise.
        arranged: where weights in another order come from.
        one_request: whether there is one request and so many candidates that it is worth to compute the crosses by
            side. Defaults to `False`.

    Example:

    >>> import numpy as np
    >>> rows = CandidateRows(2, 3)
    >>> ops.convert_to_numpy(rows.repeat(np.array([[1], [2]])))[:, 0].tolist()
    [1, 1, 1, 2, 2, 2]
    >>> ops.convert_to_numpy(rows.add(np.arange(6)[:, None], np.array([[10], [20]])))[:, 0].tolist()
    [10, 11, 12, 23, 24, 25]
    """

    def __init__(
        self, requests: Any, candidates: Any, arranged: Arranged = arrange_anew, one_request: bool = False
    ) -> None:
        self.requests, self.candidates = requests, candidates
        self.arranged, self.one_request = arranged, one_request

    @functools.cached_property
    def _request(self) -> Any:
        """The request of each row."""
        numbers = ops.expand_dims(ops.arange(self.requests), 1)
        return ops.reshape(ops.broadcast_to(numbers, (self.requests, self.candidates)), (-1,))

    def repeat(self, once: Any) -> Any:
        """A tensor with one row per request, its rows repeated for the candidates."""
        return ops.take(once, self._request, axis=0)

    def repeat_all(self, once: Sequence[Any]) -> list[Any]:
        """`repeat` for several tensors, in one operation where they are columns of one dtype."""
        if len(once) < 2 or any(len(value.shape) != 2 or value.dtype != once[0].dtype for value in once):
            return [self.repeat(value) for value in once]
        ends = np.cumsum([value.shape[1] for value in once])[:-1].tolist()
        return list(ops.split(self.repeat(ops.concatenate(once, axis=1)), ends, axis=1))

    def add(self, each: Any, once: Any) -> Any:
        """The sum of a tensor with one row per candidate and one with one row per request."""
        # A vector, as a layer's bias, is added within the product before it. It is taken by its index: of a reshape
        # TensorFlow's optimizer would conclude that there is one request in the other branch of a condition, too.
        if self.one_request:
            return ops.add(each, once[0])
        # Not `ops.add`, which on TensorFlow takes the rows for a bias where there are none.
        return ops.convert_to_tensor(each) + self.repeat(once)
