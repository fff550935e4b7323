"""Full-rank crosses of one request's fields with many candidates'."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from .columns import Columns


def crosses_by_side(crosses: Sequence[Any], columns: Columns) -> Columns:
    """The crosses of DCNv2 on one request's columns and its candidates', the request's half not written out.

    With `x₀ = [u, a]`, the columns of the request and those of one candidate, a cross is

        xₗ₊₁ = x₀ ⊙ (xₗ W + b) + xₗ

    The request's half of every `xₗ` is linear in what is known of the candidate. At first it is `u`. If it is
    `[r, 1] M` for `xₗ`, and `aₗ` is the candidate's half of `xₗ`, then the request's half of `xₗ₊₁` is

        [aₗ, r, 1] M'

    The upper rows of `M'`, which read `aₗ`, are `u ⊙ Wₐᵤ`. Its lower rows are `M + u ⊙ (M Wᵤᵤ)`. `Wₐᵤ` is the part of
    `W` that reads `a` and writes `u`. So a candidate only takes the products of its own half, and a request takes those
    of its matrices. From some number of candidates on these are fewer multiplications (`least_candidates`).

    Args:
        crosses: built `keras_rs.layers.FeatureCross` of full rank.
        columns: `x₀` of one request.

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1; the rest is algebra.
    """
    dtype = crosses[0].compute_dtype
    u, a = ops.cast(columns.matrix, dtype), ops.cast(ops.concatenate(columns.each, axis=-1), dtype)
    x = Columns(columns.rows, u, None, [a], columns.places)
    for cross in crosses:
        of_u, of_a = _kernel(cross.dense, columns)
        own = a * x.multiply(of_u[1], of_a[1], dtype) + x.each[0]
        matrix = ops.concatenate([u * of_a[0], x.matrix + u * ops.matmul(x.matrix, of_u[0])], axis=0)
        read = x.each[0] if x.read is None else ops.concatenate([x.each[0], x.read], axis=-1)
        x = Columns(x.rows, matrix, read, [own], x.places)
    return x


def least_candidates(depth: int, once: int, each: int) -> int | None:
    """The number of candidates from which on `crosses_by_side` multiplies less, or `None` if it never does.

    What reads the crosses is left out, because it takes about as much either way.

    Args:
        depth: number of crosses.
        once: width of a request's fields.
        each: width of a candidate's fields.
    """
    width = once + each
    # Multiplications per candidate: if only the first cross is split, and if all of them are computed by side.
    first = each * width + (depth - 1) * width**2
    all_of_them = depth * (depth + 1) // 2 * each**2 + depth * each * once
    per_request = depth * (depth - 1) // 2 * each * once * width
    # Several requests would need batched products, which take twice the time.
    return max(-(-per_request // (first - all_of_them)), 1) if all_of_them < first else None


def _kernel(layer: Any, columns: Columns) -> list[list[Any]]:
    """A cross' kernel in four parts.

    The first pair reads `[u, 1]` (its last row is the bias), the second one reads `a`. Of each pair the first part
    writes `u` and the second one writes `a`. Each part is a tensor of its own, because a slice would be copied at each
    request.
    """
    request, each = columns.request_places, columns.each_places

    def part(reads_request: bool, to_request: bool) -> Any:
        kernel = ops.take(layer.kernel, request if reads_request else each, axis=0)
        if reads_request:
            kernel = ops.concatenate([kernel, ops.expand_dims(layer.bias, 0)], axis=0)
        kernel = ops.take(kernel, request if to_request else each, axis=1)
        # The column of the number 1 stays what it is.
        return ops.pad(kernel, [[0, 0], [0, 1]]) if to_request else kernel

    def arranged(*which: bool) -> Any:
        key = (layer.path, which, columns.places.tobytes())
        return ops.cast(columns.rows.arranged(key, lambda: part(*which)), layer.compute_dtype)

    return [[arranged(reads, writes) for writes in (True, False)] for reads in (True, False)]
