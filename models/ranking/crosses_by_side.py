"""Full-rank crosses of one request's fields with many candidates'."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from .columns import Columns


def crosses_by_side(crosses: Sequence[Any], columns: Columns) -> Columns:
    """The crosses of DCNv2 on one request's columns and its candidates', the request's half not written out.

    With `x₀ = [u, a]`, the columns of the request and those of one candidate, a cross is

        xₗ₊₁ = x₀ ⊙ (xₗ W + b) + xₗ

    Its request's half is linear in what is known of the candidate. It is `u` at first, and if it is `[1, r] M` for
    `xₗ`, whose other half is `aₗ`, then for `xₗ₊₁` it is

        [1, r, aₗ] [M + u ⊙ (M Wᵤᵤ), u ⊙ Wₐᵤ]   (the two below each other)

    where `Wₐᵤ` are the rows of `W` that read `a` and its columns that write `u`. So a candidate takes the products of
    its own half alone, and a request those of its matrices: fewer multiplications from some number of candidates on
    (`least_candidates`).

    Args:
        crosses: built `keras_rs.layers.FeatureCross` of full rank.
        columns: `x₀`; of one request.

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1; the rest is algebra.
    """
    dtype = crosses[0].compute_dtype
    u, a = ops.cast(columns.matrix, dtype), ops.cast(ops.concatenate(columns.each, axis=-1), dtype)
    x = Columns(columns.rows, u, [], [a], columns.places)
    for cross in crosses:
        # The rows of the request's columns and of the bias, then those of the candidate's.
        to_u, to_a = (_half(cross.dense, columns, to_request) for to_request in (True, False))
        own = a * x.multiply(to_a[: u.shape[-1]], to_a[u.shape[-1] :], dtype) + x.each[0]
        matrix = [x.matrix + u * ops.matmul(x.matrix, to_u[: u.shape[-1]]), u * to_u[u.shape[-1] :]]
        x = Columns(x.rows, ops.concatenate(matrix, axis=0), [*x.read, x.each[0]], [own], x.places)
    return x


def least_candidates(depth: int, once: int, each: int) -> int | None:
    """From how many candidates on `crosses_by_side` multiplies less; `None`: never.

    What reads the crosses is left out: it takes about as much either way.

    Args:
        depth: number of crosses.
        once: width of a request's fields.
        each: width of a candidate's fields.
    """
    width = once + each
    # Per candidate, with the first cross split alone and with all of them by side.
    first = each * width + (depth - 1) * width**2
    all_of_them = depth * (depth + 1) // 2 * each**2 + depth * each * once
    per_request = depth * (depth - 1) // 2 * each * once * width
    # Several requests would need batched products, which take twice the time.
    return max(-(-per_request // (first - all_of_them)), 1) if all_of_them < first else None


def _half(layer: Any, columns: Columns, to_request: bool) -> Any:
    """A cross' kernel with its rows in the order of the columns and the bias among them, to one half of its outputs."""
    request, each = columns.request_places, columns.each_places

    def arrange() -> Any:
        parts = [
            ops.take(layer.kernel, request, axis=0),
            ops.expand_dims(layer.bias, 0),
            ops.take(layer.kernel, each, axis=0),
        ]
        half = ops.take(ops.concatenate(parts, axis=0), request if to_request else each, axis=1)
        # The column of the number 1 stays what it is.
        return ops.pad(half, [[0, 0], [0, 1]]) if to_request else half

    key = (layer.path, to_request, columns.places.tobytes())
    return ops.cast(columns.rows.arranged(key, arrange), layer.compute_dtype)
