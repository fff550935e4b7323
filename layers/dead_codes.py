"""Moves codes that are not used to where rows are."""

from typing import Any

from keras import ops

from ..distribution import replicas
from .row_weights import draw_rows


def move_dead_codes(
    codebooks: Any, usage: Any, residuals: list[Any], weight: Any, draws: Any, due: Any, dead_below: float
) -> tuple[Any, Any]:
    """Move codes of low usage onto random rows of what their level has to quantize, in the batch of all processes.

    Args:
        codebooks: `(num_levels, codebook_size, dim)`.
        usage: share of the rows of each code, `(num_levels, codebook_size)`.
        residuals: rows before each level, `(rows, dim)` or wider; further columns are left out.
        weight: weights of the rows, which are drawn in proportion to them; `None` if all weigh the same.
        draws: uniform numbers in `[0, 1)`, shaped as `usage`.
        due: boolean scalar; nothing moves unless it is true.
        dead_below: the usage below which a code is dead.

    Returns:
        The codebooks and the usage. The usage of a moved code starts at twice the threshold, so that a code which wins
        no row is moved again after about 70 batches.
    """
    dead = ops.logical_and(due, usage < dead_below)
    picked, mine = draw_rows(replicas.of_first(draws), weight, ops.shape(residuals[0])[0])
    rows = ops.stack([ops.take(residual, picked[level], axis=0) for level, residual in enumerate(residuals)])
    rows = rows[..., : codebooks.shape[-1]]
    if replicas.replica_count() > 1:
        # The process that has a row gives it to the others.
        rows = replicas.total(ops.where(ops.expand_dims(mine, -1), rows, 0.0))
    codebooks = ops.where(ops.expand_dims(dead, -1), rows, codebooks)
    return codebooks, ops.where(dead, 2.0 * dead_below, usage)
