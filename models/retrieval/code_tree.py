"""The tree of all codes that stand for an item."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from ...layers import SemanticIds


@keras.saving.register_keras_serializable(package="grouprank")
class CodeTree(keras.layers.Layer):
    """Knows the codes of every item, and which codes may follow which.

    A node is a prefix of codes that some item has. Nodes are numbered level by level from the root, 0, and within a
    level in the order of their codes. So the children of a node stand side by side, and two numbers tell them: where
    those of the node begin, and where those of the next node begin. A leaf is one item, since items that share all
    codes are told apart by a further one (`SemanticIds.without_collisions`).

    The arrays are weights, so that a saved model has them; the config holds sizes alone.

    Args:
        codes: a `SemanticIds`, integers of shape `(items, num_levels)`, or sizes as in the config for a tree whose
            weights are loaded.
        **kwargs: base layer keywords such as `name`.

    Raises:
        ValueError: on codes that `SemanticIds` refuses, or if no item has codes.

    Example:

    >>> tree = CodeTree([[-1, -1], [3, 0], [3, 1], [2, 1]])
    >>> tree.level_sizes, tree.fan_outs
    ((2, 3), (2, 2))
    >>> nodes, codes, valid = tree.children_of(np.array([[0]]), level=0)
    >>> ops.convert_to_numpy(nodes).tolist(), ops.convert_to_numpy(codes).tolist()
    ([[[1, 2]]], [[[2, 3]]])

    Reference:
        Rajput et al., *TIGER*, [arXiv:2305.05065](https://arxiv.org/abs/2305.05065): semantic ids, and the codes that
        tell colliding items apart.
    """

    def __init__(self, codes: SemanticIds | ArrayLike | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        arrays: dict[str, np.ndarray] = {}
        if isinstance(codes, Mapping):
            sizes = dict(codes)
        else:
            if not isinstance(codes, SemanticIds):
                codes = np.asarray(codes)
                codes = SemanticIds(codes, codebook_size=int(codes.max(initial=-1)) + 1)
            arrays, sizes = _tree(codes.without_collisions())
        self.num_items, self.codebook_size = int(sizes["num_items"]), int(sizes["codebook_size"])
        self.level_sizes, self.fan_outs = tuple(sizes["level_sizes"]), tuple(sizes["fan_outs"])
        nodes = 1 + sum(self.level_sizes)
        shapes = {
            "item_codes": (self.num_items, self.num_levels),
            "node_codes": (nodes,),
            "first_children": (nodes + 1,),
            "leaf_items": (self.num_leaves,),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(name=name, shape=shape, initializer="zeros", dtype="int32", trainable=False)
            setattr(self, f"_{name}", weight)
            if arrays:
                weight.assign(arrays[name])
        self.built = True

    @property
    def num_levels(self) -> int:
        """Number of codes of an item, that which tells colliding items apart included."""
        return len(self.level_sizes)

    @property
    def num_leaves(self) -> int:
        """Number of items that have codes."""
        return self.level_sizes[-1]

    def codes_of(self, items: Any) -> Any:
        """Codes of items, `(..., num_levels)`: -1 where an item has none. An id outside the table is read as 0.

        Args:
            items: integer ids, `(...)`.
        """
        ids = ops.convert_to_tensor(items)
        inside = ops.logical_and(ids >= 0, ids < self.num_items)
        return ops.take(self._item_codes, ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32"), axis=0)

    def children_of(self, nodes: Any, level: int) -> tuple[Any, Any, Any]:
        """The children of nodes of a level, filled up to the most children that a node of the level has.

        Args:
            nodes: numbers of nodes, `(...)`.
            level: how many codes their prefixes have.

        Returns:
            The children's numbers, their last codes, and which of them are there, `(..., fan_outs[level])` each.
        """
        first = ops.expand_dims(ops.take(self._first_children, nodes, axis=0), -1)
        end = ops.expand_dims(ops.take(self._first_children, ops.convert_to_tensor(nodes) + 1, axis=0), -1)
        children = first + ops.arange(self.fan_outs[level], dtype="int32")
        valid = children < end
        children = ops.where(valid, children, ops.zeros_like(children))
        return children, ops.take(self._node_codes, children, axis=0), valid

    def items(self, leaves: Any) -> Any:
        """Item ids of leaves, given by their numbers."""
        return ops.take(self._leaf_items, ops.maximum(leaves - (1 + sum(self.level_sizes[:-1])), 0), axis=0)

    def call(self, items: Any) -> Any:
        """Codes of items, as `codes_of`."""
        return self.codes_of(items)

    def sizes(self) -> dict[str, Any]:
        """What a tree needs whose weights are loaded."""
        return {
            "num_items": self.num_items,
            "codebook_size": self.codebook_size,
            "level_sizes": list(self.level_sizes),
            "fan_outs": list(self.fan_outs),
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, sizes in place of the codes."""
        return {"name": self.name, "dtype": super().get_config()["dtype"], "codes": self.sizes()}


def _tree(ids: SemanticIds) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a tree of different tuples, and their sizes."""
    prefixes, counts = ids.prefix_ids()
    items = np.flatnonzero(prefixes[:, 0])
    if not len(items):
        raise ValueError(f"No item has codes. Received: {ids.num_items} rows of -1. Give at least one item its codes.")
    # `prefix_ids` numbers the prefixes of each level from 1, in the order of their codes.
    level_sizes = [count - 1 for count in counts]
    starts = np.cumsum([1, *level_sizes])
    node_codes, first_children = np.zeros(starts[-1], "int32"), np.full(starts[-1] + 1, starts[-1], "int32")
    fan_outs, parents = [], np.zeros(len(items), "int64")
    for level, start in enumerate(starts[:-1]):
        nodes = start + prefixes[items, level] - 1
        node_codes[nodes] = ids.codes[items, level]
        parent_of = np.empty(level_sizes[level], "int64")
        parent_of[nodes - start] = parents
        before = np.arange(starts[level - 1], start) if level else np.zeros(1, "int64")
        first_children[before] = start + np.searchsorted(parent_of, before)
        fan_outs.append(int(np.bincount(parent_of).max()))
        parents = nodes
    leaf_items = np.empty(len(items), "int32")
    leaf_items[parents - starts[-2]] = items
    arrays = {
        "item_codes": ids.codes,
        "node_codes": node_codes,
        "first_children": first_children,
        "leaf_items": leaf_items,
    }
    sizes = {"num_items": ids.num_items, "codebook_size": ids.codebook_size}
    return arrays, {**sizes, "level_sizes": level_sizes, "fan_outs": fan_outs}
