"""Full-rank crosses of one request's fields with many candidates'."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from .candidate_rows import CandidateRows
from .factored_rows import FactoredRows, in_order

HALVES = ("request", "candidate")


def crosses_by_side(
    crosses: Sequence[Any], request: Mapping[str, Any], candidates: Mapping[str, Any], rows: CandidateRows
) -> Any:
    """The crosses of DCNv2 on the concatenated fields, `(rows, width)`, with a request's share computed once.

    Written by side, x₀ = [u, a] with u a request's fields and a one candidate's. All that a cross makes of u is linear
    in what it makes of a: with xₗ₊₁ = x₀ ⊙ (xₗ Wₗ + bₗ) + xₗ, the request's half of xₗ is

        [1, a, x₁ₐ, …, xₗ₋₁ₐ] Mₗ

    where Mₗ depends on the request alone. So a candidate needs the products of its own half only, and a request those
    of some matrices: fewer multiplications from some number of candidates on (`least_candidates`). One request with
    that many is computed so. Its half of the last cross is not even written out where a layer with few units reads it:
    `FactoredRows`, and for a kernel K

        xₗ₊₁ᵤ K = xₗ S with S = [K, 0] + Wₗ (u ⊙ K), of Wₗ the columns of u

    For other requests the first cross alone is split, and the result is a tensor.

    Args:
        crosses: built `keras_rs.layers.FeatureCross` of full rank.
        request: a request's fields by name, `(requests, width)` each.
        candidates: the candidates' fields, `(rows, width)` each.
        rows: which row belongs to which request.

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1; the rest is algebra.
    """
    fields = {**request, **candidates}
    places, start = dict[str, Any](), 0
    for name in sorted(fields):
        places[name], start = np.arange(start, start + fields[name].shape[-1]), start + fields[name].shape[-1]
    u, a = (ops.concatenate([part[name] for name in sorted(part)], axis=-1) for part in (request, candidates))
    order = np.concatenate([places[name] for part in (request, candidates) for name in sorted(part)]).astype("int32")
    layers, dtype = [cross.dense for cross in crosses], crosses[0].compute_dtype
    u, a = ops.cast(u, dtype), ops.cast(a, dtype)
    if rows.fewest is None:
        return in_order(_split_first(u, a, layers, order, rows), order)
    return _folded_rows(u, a, layers, order, rows)


def least_candidates(depth: int, once: int, each: int) -> int | None:
    """From how many candidates a request multiplies less with its half as a linear function; `None`: never.

    What reads the crosses is left out: it takes about as much either way.

    Args:
        depth: number of crosses.
        once: width of a request's fields.
        each: width of a candidate's fields.
    """
    width = once + each
    split = each * width + (depth - 1) * width**2
    fold = depth * (depth + 1) // 2 * each**2 + depth * each * once
    a_request = depth * (depth - 1) // 2 * each * once * width
    # Several requests would need batched products, which take twice the time.
    return max(-(-a_request // (split - fold)), 1) if fold < split else None


def _split_first(u: Any, a: Any, layers: Sequence[Any], order: np.ndarray, rows: CandidateRows) -> Any:
    """A request's half of the first product computed once; the rest by candidate."""
    once, x0, weights = u.shape[-1], ops.concatenate([rows.repeat(u), a], axis=-1), []
    for layer in layers:
        kernel = rows.weights(f"{layer.path}/kernel", functools.partial(_reorder, layer.kernel, order))
        bias = rows.weights(f"{layer.path}/bias", functools.partial(ops.take, layer.bias, order))
        weights.append((ops.cast(kernel, u.dtype), ops.cast(bias, u.dtype)))
    (kernel, bias), *others = weights
    crossed = x0 * rows.add(ops.matmul(a, kernel[once:]), ops.matmul(u, kernel[:once]) + bias) + x0
    for kernel, bias in others:
        crossed = x0 * (ops.matmul(crossed, kernel) + bias) + crossed
    return crossed


def _folded_rows(u: Any, a: Any, layers: Sequence[Any], order: np.ndarray, rows: CandidateRows) -> FactoredRows:
    """The crosses of one request, its half a linear function of the candidates'."""
    width, each = u.shape[-1], a.shape[-1]
    # With a column of ones, which crosses leave as it is, biases are rows of the kernels.
    once, u = width + 1, ops.concatenate([u, ops.ones_like(u[:, :1])], axis=-1)

    def crossed(matrix: Any, to_u: Any) -> Any:
        return ops.concatenate([matrix + u * ops.matmul(matrix, to_u[:once]), u * to_u[once:]], axis=0)

    matrix, own, seen, read = u, a, list[Any](), a
    weights = [[_half(layer, half, order, width, rows) for half in HALVES] for layer in layers]
    for index, (to_u, to_a) in enumerate(weights):
        of_matrix, kernel = ops.matmul(matrix, to_a[:once]), to_a[once:]
        seen.append(own)
        if len(seen) > 1:
            read = ops.concatenate(seen, axis=-1)
            kernel = ops.concatenate([of_matrix[1:], kernel], axis=0)
        own = a * rows.add(ops.matmul(read, kernel), of_matrix[:1]) + own
        if index + 1 < len(weights):
            matrix = crossed(matrix, to_u)

    def folded(kernel: Any) -> tuple[Any, Any]:
        step = ops.matmul(to_u, ops.expand_dims(u[0], 1) * kernel)
        product = ops.matmul(matrix, kernel + step[:once])
        return product[:1], ops.concatenate([product[1:], step[once:]], axis=0)

    def written() -> Any:
        after = crossed(matrix, to_u)[:, :width]
        return rows.add(ops.matmul(read, after[1:]), after[:1])

    # A layer with more units multiplies less if the rows are written out for it. By unit, `folded` multiplies the
    # request's columns with the last cross and with the matrix before it.
    seen_width, before = read.shape[-1], read.shape[-1] - each
    written_out = width * (before * width / rows.fewest + seen_width)
    by_unit = width * (width + each + before) / rows.fewest + seen_width - width
    widest = int(written_out / by_unit) if by_unit > 0 else None
    return FactoredRows(rows, seen, folded, written, widest, [own], order)


def _half(layer: Any, half: str, order: np.ndarray, width: int, rows: CandidateRows) -> Any:
    """A kernel's columns of one half, with the rows in order and the bias among them."""

    def arrange() -> Any:
        kernel = ops.take(layer.kernel, order, axis=0)
        kernel = ops.concatenate([kernel[:width], ops.expand_dims(layer.bias, 0), kernel[width:]], axis=0)
        if half == "candidate":
            return ops.take(kernel, order[width:], axis=1)
        return ops.pad(ops.take(kernel, order[:width], axis=1), [[0, 0], [0, 1]])

    return ops.cast(rows.weights(f"{layer.path}/{half}", arrange), layer.compute_dtype)


def _reorder(kernel: Any, order: np.ndarray) -> Any:
    return ops.take(ops.take(kernel, order, axis=0), order, axis=1)
