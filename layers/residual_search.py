"""The cascade of nearest codes."""

from typing import Any

from keras import ops

from .code_primitives import first_largest


def residual_search(rows: Any, codebooks: Any) -> tuple[list[Any], list[Any]]:
    """Nearest codes of rows, level by level, each on what the last left over (eq. 3).

    Nothing here is differentiated. The nearest code `e` is the one with the largest `r·e − ½‖e‖²`, since `‖r‖²` is
    the same for all of them; a column of ones beside the rows and one of `−½‖e‖²` beside the codes make that a
    single matrix product.

    Args:
        rows: float32 of shape `(rows, dim)`.
        codebooks: float32 of shape `(num_levels, codebook_size, dim)`.

    Returns:
        codes: int32 `(rows,)`, one for each level.
        residuals: `(rows, dim + 1)` before the first and after each level; the last column is 1.
    """
    rows, codebooks = ops.stop_gradient(rows), ops.stop_gradient(codebooks)
    penalties = -0.5 * ops.sum(ops.square(codebooks), axis=-1, keepdims=True)
    keys = ops.concatenate([codebooks, penalties], axis=-1)
    steps = ops.concatenate([codebooks, ops.zeros_like(penalties)], axis=-1)
    codes, residuals = [], [ops.concatenate([rows, ops.ones_like(rows[:, :1])], axis=-1)]
    for level in range(codebooks.shape[0]):
        code = first_largest(ops.matmul(residuals[-1], ops.transpose(keys[level])))
        codes.append(code)
        residuals.append(residuals[-1] - ops.take(steps[level], code, axis=0))
    return codes, residuals
