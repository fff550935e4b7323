"""Trees of LightGBM as a frame of nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ..transforms.boosted_leaves import NODES


def tree_nodes(trees: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The nodes of some trees (see `BoostedLeaves`).

    Args:
        trees: `tree_info` of `lightgbm.Booster.dump_model()`, of a model trained with `use_missing=False`.

    Raises:
        ValueError: if a tree treats missing numbers, or zero, in a way of its own.

    Example:
    >>> split = {"split_feature": 0, "decision_type": "<=", "threshold": 0.1, "missing_type": "None"}
    >>> tree = {"tree_structure": {**split, "left_child": {"leaf_index": 0}, "right_child": {"leaf_index": 1}}}
    >>> tree_nodes([tree]).select("left", "right", "leaf").rows()
    [(1, 2, 0), (1, 1, 1), (2, 2, 2)]
    """
    rows: list[dict[str, Any]] = []
    for number, tree in enumerate(trees):
        _add(rows, number, tree["tree_structure"])
    return pl.DataFrame(rows, schema=NODES)


def _add(rows: list[dict[str, Any]], tree: int, node: Mapping[str, Any]) -> int:
    """Add a node and what is below it; returns its number."""
    number = len(rows)
    row: dict[str, Any] = {
        "tree": tree,
        "feature": 0,
        "threshold": 0.0,
        "ids": None,
        "left": number,
        "right": number,
        "leaf": 0,
    }
    rows.append(row)
    if "split_feature" not in node:
        # A tree without a split has one leaf, which LightGBM does not number.
        row["leaf"] = node.get("leaf_index", 0) + 1
        return number
    row["feature"] = node["split_feature"]
    if node["decision_type"] == "==":
        # Whatever the node does with missing values: an id that it does not list goes right.
        row["ids"] = [int(value) for value in node["threshold"].split("||")]
    elif node["missing_type"] == "None":
        row["threshold"] = _at_most(node["threshold"])
    else:
        raise ValueError(
            "Encoded numbers are never missing, so trees must be trained with use_missing=False. "
            f"Received: a node with missing_type={node['missing_type']!r}."
        )
    row["left"] = _add(rows, tree, node["left_child"])
    row["right"] = _add(rows, tree, node["right_child"])
    return number


def _at_most(threshold: float) -> float:
    """The largest float32 that is not above a threshold, so that float32 numbers are parted as by the threshold."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))
