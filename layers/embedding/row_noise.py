"""Random numbers that belong to a row."""

from typing import Any

import numpy as np
from keras import ops


def row_noise(numbers: Any, width: int, seed: int, iteration: Any) -> Any:
    """Draw from `[0, 1)` for each component of some rows, others at each step.

    A draw depends on the row, the component, the seed and the step alone. So it is the same on every backend, whatever
    else the batch touches, and whichever device keeps the row.

    Args:
        numbers: int32 numbers of the rows.
        width: number of components.
        seed: integer seed, of which 31 bits count.
        iteration: number of the step.

    Returns:
        A float32 tensor of shape `(number of rows, width)`, in steps of 2⁻²⁴.

    Example:

    >>> one, other = (ops.convert_to_numpy(row_noise(rows, 2, seed=7, iteration=1.0)) for rows in ([3, 8], [8]))
    >>> bool((one[1] == other[0]).all())
    True

    Reference:
        The mixer is Wellons', *Prospecting for hash functions*, 2018, `lowbias32`.
    """
    mixed = _mix(ops.convert_to_tensor(seed % 2**31, dtype="int32"))
    for more in (iteration, numbers):
        mixed = _mix(ops.bitwise_xor(mixed, ops.cast(more, "int32")))
    columns = np.arange(1, width + 1, dtype="uint32") * np.uint32(0x9E3779B9)
    mixed = _mix(ops.bitwise_xor(ops.expand_dims(mixed, -1), ops.convert_to_tensor(columns.view("int32"))))
    return ops.cast(_shift_right(mixed, 8), "float32") * 2.0**-24


def _mix(x: Any) -> Any:
    """Mix the 32 bits of int32 numbers, whose products wrap around."""
    x = ops.bitwise_xor(x, _shift_right(x, 16)) * np.int32(0x7FEB352D)
    x = ops.bitwise_xor(x, _shift_right(x, 15)) * np.int32(0x846CA68B - 2**32)
    return ops.bitwise_xor(x, _shift_right(x, 16))


def _shift_right(x: Any, bits: int) -> Any:
    """Shift zeros in, as for unsigned numbers."""
    return ops.bitwise_and(ops.right_shift(x, bits), np.int32(2 ** (32 - bits) - 1))
