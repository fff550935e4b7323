"""The loss of a cascade of codebooks."""

from typing import Any

from keras import ops

from .row_weights import squared_norm


def quantization_loss(
    rows: Any,
    codes: list[Any],
    residuals: list[Any],
    codebooks: Any,
    weight: Any,
    commitment_weight: float,
    codebook_weight: float,
) -> Any:
    """The loss of eq. 2, summed over levels and components, averaged over rows; `None` if both factors are 0.

    Args:
        rows: float32 of shape `(rows, dim)`, of which the commitment term is differentiated.
        codes: code of each row, `(rows,)`, one for each level.
        residuals: `(rows, dim + 1)` before the first and after each level, see `residual_search`.
        codebooks: float32 of shape `(num_levels, codebook_size, dim)`, of which the codebook term is differentiated.
        weight: weights of the rows, `(rows,)`; `None` if all weigh 1.
        commitment_weight: factor of the first term.
        codebook_weight: `μ`, factor of the second term.
    """
    dim = rows.shape[-1]
    terms = []
    if commitment_weight:
        # What a level leaves over is the distance from its code; it moves as the rows do.
        moving = rows - ops.stop_gradient(rows)
        commitment = sum(squared_norm(moving + r[:, :dim], weight) for r in residuals[1:])
        terms.append(commitment_weight * commitment)
    if codebook_weight:
        vectors = [ops.take(codebooks[level], code, axis=0) for level, code in enumerate(codes)]
        pairs = zip(residuals[:-1], vectors, strict=True)
        terms.append(codebook_weight * sum(squared_norm(r[:, :dim] - e, weight) for r, e in pairs))
    return sum(terms) if terms else None
