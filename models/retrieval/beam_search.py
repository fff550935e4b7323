"""The items whose codes a model finds most probable."""

from collections.abc import Callable
from typing import Any

from keras import ops

from .code_tree import CodeTree

# No log probability counts as less, so that what is a child stands above what is none, whatever the model says.
LEAST = -1e30


def beam_search(tree: CodeTree, log_probabilities: Callable[[list[Any]], Any], rows: Any, beam: int) -> tuple[Any, Any]:
    """Extend the most probable prefixes code by code, through the tree alone, until they are items.

    All nodes of a level are kept where there are no more of them than `beam`, so that a beam of all items is exact. A
    prefix that no item has is never made: what is scored are the children of the prefixes kept.

    Args:
        tree: which codes may follow which.
        log_probabilities: makes of the codes so far, a list by level of `(rows, prefixes)`, the log probabilities of
            the next code, `(rows, prefixes, codebook_size)`. At first the list is empty and there is one prefix.
        rows: number of rows, a tensor or an integer.
        beam: number of prefixes kept.

    Returns:
        Item ids and their log probabilities, best first, `(rows, min(beam, items))` each.

    Example:

    >>> import numpy as np
    >>> tree = CodeTree([[-1], [2], [0]])
    >>> items, scores = beam_search(tree, lambda codes: np.log([[[0.1, 0.6, 0.3]]]).astype("float32"), rows=1, beam=2)
    >>> ops.convert_to_numpy(items).tolist(), ops.convert_to_numpy(ops.exp(scores)).round(2).tolist()
    ([[1, 2]], [[0.3..., 0.1...]])
    """
    nodes, scores = ops.zeros((rows, 1), "int32"), ops.zeros((rows, 1), "float32")
    codes: list[Any] = []
    for level, (size, fan_out) in enumerate(zip(tree.level_sizes, tree.fan_outs, strict=True)):
        children, last, valid = tree.children_of(nodes, level)
        found = ops.take_along_axis(log_probabilities(codes), last, axis=-1)
        there = ops.logical_and(valid, ops.expand_dims(scores, -1) >= LEAST)
        found = ops.maximum(ops.expand_dims(scores, -1) + found, LEAST)
        found = ops.where(there, found, -float("inf"))
        # At the root there is one prefix; later, `beam` at most.
        width = nodes.shape[1] * fan_out
        scores, places = ops.top_k(ops.reshape(found, (-1, width)), min(beam, size, width))
        places = ops.cast(places, "int32")
        nodes, last = (ops.take_along_axis(ops.reshape(of, (-1, width)), places, axis=1) for of in (children, last))
        codes = [ops.take_along_axis(of, places // fan_out, axis=1) for of in codes]
        codes.append(last)
    return tree.items(nodes), scores
