"""Full-rank crosses of one request's fields with many candidates'."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from .candidate_rows import CandidateRows


def crosses_by_side(
    crosses: Sequence[Any], request: Mapping[str, Any], candidates: Mapping[str, Any], rows: CandidateRows
) -> Any:
    """The crosses of DCNv2 on the concatenated fields, `(rows, width)`, with a request's share computed once.

    Written by side, x₀ = [u, a] with u a request's fields and a one candidate's. All that a cross makes of u is linear
    in what it makes of a: with gₗ = xₗ Wₗ + bₗ and xₗ₊₁ = x₀ ⊙ gₗ + xₗ, the request's half of xₗ is

        kₗ + [a, x₁ₐ, …, xₗ₋₁ₐ] Pₗ

    where kₗ and Pₗ depend on the request alone. So a candidate needs the products of its own half only, and a request
    those of some matrices: fewer multiplications from some number of candidates on. One request with that many is
    computed so; otherwise the first cross alone is split.

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
    dtype = crosses[0].compute_dtype
    u, a = ops.cast(u, dtype), ops.cast(a, dtype)
    weights = []
    for dense in (cross.dense for cross in crosses):
        kernel = rows.weights(f"{dense.path}/kernel", functools.partial(_reorder, dense.kernel, order))
        bias = rows.weights(f"{dense.path}/bias", functools.partial(ops.take, dense.bias, order))
        weights.append((ops.cast(kernel, dtype), ops.cast(bias, dtype)))
    least = _least_candidates(len(crosses), u.shape[-1], a.shape[-1])
    return _in_order(_halves(u, a, weights, rows, least), order)


def _halves(u: Any, a: Any, weights: Any, rows: CandidateRows, least: int | None) -> Any:
    """The crosses, the request's columns first; `_fold` for one request with so many candidates."""
    # Several requests would need batched products, which take twice the time.
    if isinstance(rows.requests, int) and isinstance(rows.candidates, int):
        fold = least is not None and rows.requests == 1 and rows.candidates >= least
        return _fold(u, a, weights) if fold else _split_first(u, a, weights, rows)
    if least is None:
        return _split_first(u, a, weights, rows)
    one = ops.logical_and(ops.equal(rows.requests, 1), rows.candidates >= least)
    return ops.cond(one, lambda: _fold(u, a, weights), lambda: _split_first(u, a, weights, rows))


def _least_candidates(depth: int, once: int, each: int) -> int | None:
    """From how many candidates a request on `_fold` multiplies less than `_split_first`; `None`: never."""
    width = once + each
    split = each * width + (depth - 1) * width**2
    fold = depth * (depth + 1) // 2 * each**2 + depth * each * once
    a_request = depth * (depth - 1) // 2 * each * once * width
    return -(-a_request // (split - fold)) if fold < split else None


def _split_first(u: Any, a: Any, weights: Any, rows: CandidateRows) -> Any:
    """A request's half of the first product computed once; the rest by candidate."""
    once, x0 = u.shape[-1], ops.concatenate([rows.repeat(u), a], axis=-1)
    (kernel, bias), *others = weights
    crossed = x0 * rows.add(ops.matmul(a, kernel[once:]), ops.matmul(u, kernel[:once]) + bias) + x0
    for kernel, bias in others:
        crossed = x0 * (ops.matmul(crossed, kernel) + bias) + crossed
    return crossed


def _fold(u: Any, a: Any, weights: Any) -> Any:
    """The request's half as a linear function of the candidate's, for one request."""
    once, constant, linear, own, seen = u.shape[-1], u, None, a, None
    for kernel, bias in weights:
        # The next product is h + seen · g, where `seen` are the candidate's halves so far.
        h, g = ops.matmul(constant, kernel[:once]) + bias, kernel[once:]
        if linear is None:
            seen, linear = own, g[:, :once] * u
        else:
            seen = ops.concatenate([seen, own], axis=-1)
            g = ops.concatenate([ops.matmul(linear, kernel[:once]), g], axis=0)
            linear = ops.pad(linear, [[0, own.shape[-1]], [0, 0]]) + g[:, :once] * u
        own = a * (h[:, once:] + ops.matmul(seen, g[:, once:])) + own
        constant = u * h[:, :once] + constant
    return ops.concatenate([constant + ops.matmul(seen, linear), own], axis=-1)


def _reorder(kernel: Any, order: np.ndarray) -> Any:
    return ops.take(ops.take(kernel, order, axis=0), order, axis=1)


def _in_order(halves: Any, order: np.ndarray) -> Any:
    """Columns back in the order of the fields' names, run by run."""
    back = np.argsort(order)
    ends = [*(np.flatnonzero(np.diff(back) != 1) + 1), len(back)]
    starts = [0, *ends[:-1]]
    runs = [halves[:, back[start] : back[start] + end - start] for start, end in zip(starts, ends, strict=True)]
    return ops.concatenate(runs, axis=-1)
