"""A running sum whose rounding error is carried along."""

from typing import Any

import keras
from keras import ops


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return `a + b` rounded, and what the rounding lost, exactly.

    Knuth's branch-free two-sum: six additions, no comparison, so it is the same on arrays and scalars and
    under any compiler that does not reassociate floating point (XLA, grappler and inductor do not).

    Args:
        a: tensor.
        b: tensor of the same shape and dtype.

    Example:

    >>> total, lost = two_sum(ops.convert_to_tensor(16777216.0), ops.convert_to_tensor(1.0))
    >>> float(total), float(lost)
    (16777216.0, 1.0)
    """
    total = ops.add(a, b)
    shadow = ops.subtract(total, a)
    lost = ops.add(ops.subtract(a, ops.subtract(total, shadow)), ops.subtract(b, shadow))
    return total, lost


class CompensatedSum:
    """A running sum in two variables: the rounded total and the sum of what rounding lost.

    A plain float32 total stops growing at 2^24 rows of weight 1 (a hundred million rows of an ads log count
    as seventeen); this one keeps about 48 bits. It is the Kahan-Babuška-Neumaier summation
    (Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen") with the branch
    replaced by two-sum, so that it is jit-safe.

    Args:
        metric: the `keras.metrics.Metric` that owns the two variables.
        name: name of the total; its companion is called `<name>_lost`.
        shape: shape of the sum. Defaults to `()`, a scalar.
        dtype: dtype of the two variables. Defaults to `"float32"`.

    Example:

    >>> metric = keras.metrics.Metric(name="demo")
    >>> running = CompensatedSum(metric, "rows")
    >>> for value in (16777216.0, 1.0, 1.0):
    ...     running.add(ops.convert_to_tensor(value))
    >>> float(running.value())
    16777218.0
    """

    def __init__(
        self, metric: keras.metrics.Metric, name: str, shape: tuple[int, ...] = (), dtype: str = "float32"
    ) -> None:
        self.dtype = dtype
        self.total = metric.add_variable(shape=shape, initializer="zeros", dtype=dtype, name=name)
        self.lost = metric.add_variable(shape=shape, initializer="zeros", dtype=dtype, name=f"{name}_lost")

    def add(self, value: Any) -> None:
        """Add a tensor of the sum's shape."""
        total, lost = two_sum(ops.convert_to_tensor(self.total), ops.cast(value, self.dtype))
        self.total.assign(total)
        self.lost.assign(ops.add(self.lost, lost))

    def merge(self, other: "CompensatedSum") -> None:
        """Add another running sum, its lost part included."""
        self.add(other.total)
        self.lost.assign(ops.add(self.lost, ops.cast(other.lost, self.dtype)))

    def value(self) -> Any:
        """The sum, rounded once."""
        return ops.add(self.total, self.lost)

    def minus(self, other: "CompensatedSum") -> Any:
        """`self - other`, rounded after the leading parts have cancelled."""
        return ops.add(ops.subtract(self.total, other.total), ops.subtract(self.lost, other.lost))
