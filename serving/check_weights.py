"""Refuses models with weights that are NaN or infinite."""

from typing import Any

import keras
import numpy as np

# Weights that an error names.
_NAMED = 5
# Rows of a table that are checked together: so many stay in the processor's cache, and the table is not held twice.
_ROWS = 2**14


def check_weights(model: Any) -> None:
    """Raise if a weight is NaN or infinite, since the rows that are compared may not use the broken weight.

    Args:
        model: a Keras model.

    Raises:
        ValueError: naming the weights, how many of their values are broken and where the first one is.

    Example:

    >>> layer = keras.layers.Dense(1, name="click")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> layer.set_weights([np.array([[1.0], [np.nan]]), np.zeros(1)])
    >>> check_weights(model)
    Traceback (most recent call last):
        ...
    ValueError: 1 weight of the model is NaN or infinite. ...click/kernel: 1 of 2 values, the first at (1, 0) is nan...
    """
    broken = [words for weight in model.weights if (words := _broken(weight))]
    if broken:
        one = len(broken) == 1
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        raise ValueError(
            f"{len(broken)} weight{'' if one else 's'} of the model {'is' if one else 'are'} NaN or infinite. "
            f"{'; '.join(broken[:_NAMED])}{more}. Training diverged: train again with a smaller learning rate or "
            "`clipnorm`, or export a checkpoint from before."
        )


def _broken(weight: Any) -> str:
    """What is wrong with a weight, nothing if all is well."""
    if not keras.backend.is_float_dtype(weight.dtype):
        return ""
    values = weight.value if len(weight.shape) else weight.value[None]
    count, first, value = 0, None, 0.0
    for start in range(0, values.shape[0], _ROWS):
        rows = keras.ops.convert_to_numpy(values[start : start + _ROWS])
        finite = np.isfinite(rows)
        if finite.all():
            continue
        wrong = np.argwhere(~finite)
        if first is None:
            value = float(rows[tuple(wrong[0])])
            first = (start + int(wrong[0][0]), *map(int, wrong[0][1:]))
        count += len(wrong)
    if first is None:
        return ""
    return f"{weight.path}: {count:,} of {np.prod(values.shape):,} values, the first at {first} is {value}"
