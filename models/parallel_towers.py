"""Towers on one representation, their first layers as one product."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..layers import MLP
from .backbones.factored_rows import FactoredRows
from .backbones.joined_dense import JoinedDense


class ParallelTowers:
    """Runs the first layers of a graph's dense networks that read the same tensor as one product, in inference.

    Args:
        graph: the graph that they stand in.
    """

    def __init__(self, graph: keras.Function) -> None:
        self._group_of: dict[int, list[MLP]] = {}
        by_input: dict[Any, list[MLP]] = {}
        for node in (node for nodes in graph._nodes_by_depth.values() for node in nodes):
            tower = node.operation
            if isinstance(tower, MLP) and tower.first is not None:
                key = (id(node.input_tensors[0]), tower.first.activation, tower.first.use_bias, tower.compute_dtype)
                by_input.setdefault(key, []).append(tower)
        for towers in by_input.values():
            if len(towers) > 1:
                self._group_of.update({id(tower): towers for tower in towers})

    def __contains__(self, operation: Any) -> bool:
        return id(operation) in self._group_of

    def run(self, tower: MLP, x: Any, weights: Callable[[str, Callable[[], Any]], Any], done: dict[int, Any]) -> Any:
        """Outputs of one tower.

        Args:
            tower: one that is `in` this.
            x: what it reads, a tensor or `FactoredRows`.
            weights: see `CandidateRows.weights`.
            done: what the first layers gave in this run of the graph, filled by the first one of each group.
        """
        if id(tower) not in done:
            towers = self._group_of[id(tower)]
            first = JoinedDense([one.first for one in towers])
            if isinstance(x, FactoredRows):
                y = x.product(first)
            else:
                y = ops.matmul(
                    ops.cast(x, first.dtype), ops.cast(weights(f"{first.key}/kernel", first.kernel), first.dtype)
                )
                if first.use_bias:
                    y = y + ops.cast(weights(f"{first.key}/bias", first.bias), first.dtype)
            outputs = first.split(first.activation(y))
            done.update((id(one), output) for one, output in zip(towers, outputs, strict=True))
        return tower.after_first(done[id(tower)])
