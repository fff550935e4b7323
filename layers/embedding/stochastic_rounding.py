"""Rounding that is right on average."""

from typing import Any

from keras import ops

# Stored mantissa bits and exponent of the smallest normal number.
FORMATS = {"bfloat16": (7, -126), "float16": (10, -14)}


def stochastic_round(values: Any, uniform: Any, dtype: str) -> Any:
    """Round float32 up or down to a neighbour in `dtype`, with the probability that keeps the mean.

    Rounding to the nearest loses every update smaller than half a step between
    neighbours; a half-precision table then stops learning early.

    Args:
        values: float32 tensor.
        uniform: independent draws from `[0, 1)` of the same shape.
        dtype: `"bfloat16"` or `"float16"`.

    Returns:
        A tensor of dtype `dtype`.

    Example:

    >>> import numpy as np
    >>> x = np.full(4, 1 + 2**-9, "float32")
    >>> rounded = stochastic_round(x, np.array([0.0, 0.5, 0.74, 0.76], "float32"), "bfloat16")
    >>> ops.convert_to_numpy(ops.cast(rounded, "float32")).tolist()
    [1.0, 1.0, 1.0, 1.0078125]

    Reference:
        Zamirai et al., *Revisiting BFloat16 Training*, [arXiv:2010.06192](https://arxiv.org/abs/2010.06192).
    """
    values, uniform = ops.convert_to_tensor(values), ops.convert_to_tensor(uniform)
    mantissa_bits, smallest_exponent = FORMATS[dtype]
    magnitude = ops.maximum(ops.abs(values), 2.0**smallest_exponent)
    exponent = ops.floor(ops.log2(magnitude))
    step = ops.power(2.0, exponent - mantissa_bits)
    return ops.cast(ops.floor(values / step + uniform) * step, dtype)
