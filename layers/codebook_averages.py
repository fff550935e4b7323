"""Moving averages of what a codebook's codes win."""

from typing import Any

from keras import ops

from ..distribution import replicas
from .code_primitives import sum_by_code


def average_codebooks(
    codebooks: Any, sums: Any, usage: Any, codes: list[Any], residuals: list[Any], weight: Any, decay: float
) -> tuple[Any, Any, Any]:
    """Move the averages of usage, and with them the codes, toward a batch, that of all processes.

    A batch in which no row counts moves nothing.

    Args:
        codebooks: `(num_levels, codebook_size, dim)`.
        sums: averages of a batch's assigned residuals, shaped as `codebooks`; `None` leaves the codes in place.
        usage: averages of a batch's share of each code, `(num_levels, codebook_size)`.
        codes: code of each row, `(rows,)`, one for each level.
        residuals: rows before each level, `(rows, dim + 1)` with a last column of 1, 0 in rows that do not count.
        weight: weights of the rows, `(rows,)`; `None` if all weigh 1.
        decay: decay per batch.

    Returns:
        Codebooks, usage, and whether any row counts.
    """
    if weight is None:
        total = ops.cast(ops.shape(residuals[0])[0], "float32")
    else:
        total = ops.sum(weight)
        residuals = [r * ops.expand_dims(weight, -1) for r in residuals]
    pairs = zip(residuals, codes, strict=True)
    found = replicas.total(ops.stack([sum_by_code(r, code, codebooks.shape[1]) for r, code in pairs]))
    total = replicas.total(total)
    seen = total > 0
    keep, gain = ops.where(seen, decay, 1.0), ops.where(seen, (1.0 - decay) / total, 0.0)
    usage = keep * usage + gain * found[..., -1]
    if sums is not None:
        # A code whose average has died out keeps its place until it is reset.
        alive = ops.logical_and(seen, ops.expand_dims(usage, -1) > 1e-8)
        means = (keep * sums + gain * found[..., :-1]) / ops.expand_dims(ops.maximum(usage, 1e-8), -1)
        codebooks = ops.where(alive, means, codebooks)
    return codebooks, usage, seen
