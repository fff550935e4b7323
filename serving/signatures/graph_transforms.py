"""The fitted transforms as TensorFlow ops, for the inside of a SavedModel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ...datasets import TableTransforms

_DTYPES = {"string": tf.string, "int64": tf.int64, "float32": tf.float32}


class GraphTransforms(tf.Module):
    """Raw columns to model inputs in plain TensorFlow ops.

    The same steps as `TableTransforms`, by each kind's `graph`, with the vocabularies as assets.

    Args:
        transforms: the fitted transforms.
        folder: where the vocabulary files are written; they must stay until the
            SavedModel that copies them is written.
    """

    def __init__(self, transforms: TableTransforms, folder: Path) -> None:
        super().__init__()
        self._transforms = transforms
        self.sources = transforms.sources
        folder.mkdir(parents=True, exist_ok=True)
        tables = {name: column.graph_table(folder / f"{name}.txt") for name, column in transforms.columns.items()}
        self.tables = {name: table for name, table in tables.items() if table is not None}

    def signature(self) -> dict[str, tf.TensorSpec]:
        """A spec per raw column, of any batch size."""
        shapes = {transform.raw: transform.raw_shape for transform in self._transforms.columns.values()}
        return {
            raw: tf.TensorSpec([None, *shapes[raw]], _DTYPES[dtype], name=raw)
            for raw, dtype in self._transforms.raw_columns.items()
        }

    def __call__(self, raw: Mapping[str, Any], missing: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Model inputs by feature name, of the features whose raw columns are given.

        Args:
            raw: columns, all or some of them.
            missing: booleans `(batch,)` by column of integers or strings: rows that have no value are out of
                vocabulary, and lists are empty. Numbers have NaN for that. Defaults to `None`.
        """
        found = {}
        for name, transform in self._transforms.columns.items():
            if transform.raw not in raw:
                continue
            found[name] = transform.graph(raw[transform.raw], self.tables.get(name))
            if missing and transform.raw in missing and transform.absent_id is not None:
                absent = missing[transform.raw]
                absent = absent[:, tf.newaxis] if found[name].shape.rank > 1 else absent
                found[name] = tf.where(absent, tf.constant(transform.absent_id, found[name].dtype), found[name])
        return found | self.leaves(found)

    def leaves(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The leaves of boosted trees, if there are any and all features that they are made of are given.

        Args:
            inputs: model inputs by feature name.
        """
        trees = self._transforms.leaves
        return trees.graph(inputs) if trees and set(trees.reads) <= set(inputs) else {}
