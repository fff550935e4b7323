"""The leaves that boosted trees put a row into, as categorical features."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from .raw_values import Encoded
from .vocabulary_fingerprint import fingerprint

# One row a node: tree after tree, the root first and every node before its children. `ids` is null where a number is
# compared with the threshold. A leaf has itself as children, and its own number from 1 on; other nodes have 0.
NODES: dict[str, Any] = {
    "tree": pl.Int32,
    "feature": pl.Int32,
    "threshold": pl.Float32,
    "ids": pl.List(pl.Int32),
    "left": pl.Int32,
    "right": pl.Int32,
    "leaf": pl.Int32,
}
# Rows walked at a time, so that memory does not grow with a chunk and the number of trees.
_ROWS = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class BoostedLeaves:
    """Trees of numbers and ids, whose leaves are a further categorical feature each.

    A row goes left where a number is at most the node's threshold, or where an id is one of the node's ids. The trees
    read *encoded* features: a missing number is the training mean, as the model reads it, and an unknown token is an id
    like any other. So training, Python and the served graph walk the trees over the same bits.

    Args:
        names: names of the leaf features, one a tree. Id 0, which no row has, stands for unknown.
        reads: names of the features that the trees read, numeric or categorical.
        nodes: the nodes of all trees, a frame with the columns `NODES`. Thresholds are float32, as numbers are.

    Raises:
        ValueError: if the frame is not such a frame, or its trees are not as many as the names.

    Example:
    >>> nodes = pl.DataFrame(
    ...     {
    ...         "tree": [0, 0, 0, 0, 0],
    ...         "feature": [0, 1, 0, 0, 0],
    ...         "threshold": [0.5, 0.0, 0.0, 0.0, 0.0],
    ...         "ids": [None, [2, 3], None, None, None],
    ...         "left": [1, 3, 2, 3, 4],
    ...         "right": [2, 4, 2, 3, 4],
    ...         "leaf": [0, 0, 1, 2, 3],
    ...     },
    ...     schema=NODES,
    ... )
    >>> leaves = BoostedLeaves(("leaf_0",), ("bid", "os"), nodes)
    >>> rows = {"bid": np.array([0.5, 0.5, 0.6], "float32"), "os": np.array([3, 4, 3], "int32")}
    >>> leaves.encode(rows)["leaf_0"].array.tolist(), leaves.vocabulary_sizes
    ([2, 3, 1], {'leaf_0': 4})
    """

    names: tuple[str, ...]
    reads: tuple[str, ...]
    nodes: pl.DataFrame

    def __post_init__(self) -> None:
        number = np.arange(len(self.nodes))
        sound = dict(self.nodes.schema) == NODES and len(self.nodes) > 0
        if sound:
            split = self.nodes["leaf"].to_numpy() == 0
            ends = [self.nodes[side].to_numpy() for side in ("left", "right")]
            sound = all(np.where(split, (number < end) & (end < len(number)), end == number).all() for end in ends)
            sound &= self.nodes["feature"].is_between(0, len(self.reads) - 1).all()
            sound &= self.nodes["tree"].unique().sort().to_list() == list(range(len(self.names)))
        if not sound:
            raise ValueError(
                f"Boosted leaves need a frame of nodes of {len(self.names)} trees over {len(self.reads)} features, "
                f"each node before its children. Received: {len(self.nodes)} nodes, columns {dict(self.nodes.schema)}. "
                "Make the table with its leaves again."
            )

    @functools.cached_property
    def vocabulary_sizes(self) -> dict[str, int]:
        """Number of ids of each leaf feature: its tree's leaves and id 0."""
        most = self.nodes.group_by("tree").agg(pl.col("leaf").max()).sort("tree")["leaf"].to_list()
        return dict(zip(self.names, (leaf + 1 for leaf in most), strict=True))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Text that differs when a leaf's id means something else (see `Schema.check_fitted`)."""
        return fingerprint([*(f"{name} " for name in self.reads), *(f"{row}\n" for row in self.nodes.iter_rows())])

    def encode(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Encoded]:
        """The leaf features of rows.

        Args:
            inputs: encoded features by name; those that the trees read are looked at.
        """
        values = np.stack([np.asarray(inputs[name], "float32") for name in self.reads], axis=1)
        found = np.empty((len(values), len(self.names)), "int32")
        for start in range(0, len(values), _ROWS):
            rows = values[start : start + _ROWS]
            found[start : start + _ROWS] = self._walk(rows, np, np.take, _numpy_columns, _numpy_integers)
        return {
            name: Encoded(np.ascontiguousarray(found[:, tree]), 0, len(found)) for tree, name in enumerate(self.names)
        }

    def graph(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The same in TensorFlow.

        Args:
            inputs: tensors `(rows,)` by feature.
        """
        import tensorflow as tf

        values = tf.stack([tf.cast(inputs[name], tf.float32) for name in self.reads], axis=1)
        found = self._walk(
            values,
            tf,
            tf.gather,
            lambda rows, columns: tf.gather(rows, columns, batch_dims=1),
            lambda rows: tf.cast(rows, tf.int32),
        )
        return dict(zip(self.names, tf.unstack(found, axis=1), strict=True))

    def _walk(
        self,
        values: Any,
        library: Any,
        gather: Callable[[Any, Any], Any],
        columns: Callable[[Any, Any], Any],
        integers: Callable[[Any], Any],
    ) -> Any:
        """Leaves `(rows, trees)`: every row goes down all trees at once, a level at a time.

        Args:
            values: encoded features, `(rows, features)` float32, in which ids below 2²⁴ are exact.
            library: the module of the arrays, NumPy or TensorFlow.
            gather: elements of a vector by their numbers.
            columns: an element of each row by the number of its column.
            integers: floats as int32.
        """
        trees = self._arrays
        node = library.zeros_like(values[:, :1], "int32") + trees.roots
        for _ in range(trees.depth):
            value = columns(values, gather(trees.feature, node))
            left = value <= gather(trees.threshold, node)
            if len(trees.members):
                last = gather(trees.last, node)
                of_ids = last >= 0
                # A number may be too large for an integer, and its place is not used.
                place = library.minimum(integers(library.where(of_ids, value, library.zeros_like(value))), last)
                place = library.where(of_ids, gather(trees.first, node) + place, library.zeros_like(node))
                left = library.where(of_ids, gather(trees.members, place), left)
            node = library.where(left, gather(trees.left, node), gather(trees.right, node))
        return gather(trees.leaf, node)

    @functools.cached_property
    def _arrays(self) -> "_Arrays":
        nodes = self.nodes
        columns = {name: nodes[name].to_numpy() for name in ("feature", "threshold", "left", "right", "leaf")}
        first, last = np.zeros(len(nodes), "int32"), np.full(len(nodes), -1, "int32")
        parts: list[np.ndarray] = []
        size = 0
        for number, ids in enumerate(nodes["ids"].to_list()):
            if ids is not None:
                # The last place is for all ids above those of the node.
                part = np.zeros(max(ids, default=0) + 2, bool)
                part[ids] = True
                parts.append(part)
                first[number], last[number] = size, len(part) - 1
                size += len(part)
        roots = np.unique(nodes["tree"].to_numpy(), return_index=True)[1].astype("int32")
        depth, level = 0, roots
        while not columns["leaf"][level].all():
            level = np.unique(np.concatenate([columns["left"][level], columns["right"][level]]))
            depth += 1
        members = np.concatenate(parts) if parts else np.empty(0, bool)
        return _Arrays(roots=roots, first=first, last=last, members=members, depth=depth, **columns)


class _Arrays(NamedTuple):
    """The nodes as vectors; a node's ids are `members[first : first + last + 1]`, and `last` is -1 if it has none."""

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray
    first: np.ndarray
    last: np.ndarray
    members: np.ndarray
    depth: int


def _numpy_columns(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, columns, axis=1)


def _numpy_integers(values: np.ndarray) -> np.ndarray:
    return values.astype("int32")
