"""The fitted transforms as TensorFlow ops, for the inside of a SavedModel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ...datasets import TableTransforms, VectorTransform

_DTYPES = {"string": tf.string, "int64": tf.int64, "float32": tf.float32}
# A vocabulary file cannot hold an empty line for TensorFlow's reader; this one stands in its place. As a value it is
# out of every vocabulary.
NO_TOKEN = "\x1f<empty>\x1f"


class GraphTransforms(tf.Module):
    """Raw columns to model inputs in plain TensorFlow ops.

    The same steps as `TableTransforms`, with the vocabularies as assets.

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
        self.tables = {
            name: _table(folder / f"{name}.txt", transform)
            for name, transform in transforms.columns.items()
            if transform.kind in ("categorical", "sequence")
        }

    def signature(self) -> dict[str, tf.TensorSpec]:
        """A spec per raw column, of any batch size."""
        widths = {t.raw: [t.dim] for t in self._transforms.columns.values() if isinstance(t, VectorTransform)}
        return {
            raw: tf.TensorSpec([None, *widths.get(raw, [])], _DTYPES[dtype], name=raw)
            for raw, dtype in self._transforms.raw_columns.items()
        }

    def __call__(self, raw: Mapping[str, Any], missing: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Model inputs by feature name, of the features whose raw column is given.

        Args:
            raw: columns, all or some of them.
            missing: booleans `(batch,)` by integer column: rows that have no value are out of vocabulary. Other
                dtypes have values for that: NaN, and a string that is no token. Defaults to `None`.
        """
        found = {name: self._apply(name, t, raw[t.raw]) for name, t in self._transforms.columns.items() if t.raw in raw}
        for name, transform in self._transforms.columns.items():
            if missing and transform.raw in missing and name in found:
                found[name] = tf.where(missing[transform.raw], tf.zeros_like(found[name]), found[name])
        return found

    def _apply(self, name: str, transform: Any, values: Any) -> Any:
        if transform.kind == "numeric":
            return _standardise(transform, values)
        if transform.kind == "vector":
            return tf.where(tf.math.is_finite(values), values, tf.zeros_like(values))
        if transform.kind == "sequence":
            return self._sequence(name, transform, values)
        if transform.dtype == "int64":
            if transform.divisor != 1:
                values = tf.math.floordiv(values, tf.constant(transform.divisor, tf.int64))
            if transform.modulo is not None:
                values = tf.math.floormod(values, tf.constant(transform.modulo, tf.int64))
        return self._ids(name, transform, values)

    def _ids(self, name: str, transform: Any, values: Any) -> Any:
        ids = self.tables[name].lookup(values) + 1
        empty = _position(transform.tokens, "") + 1 if transform.dtype == "string" else 0
        if empty:
            ids = tf.where(tf.equal(values, NO_TOKEN), tf.constant(0, tf.int64), ids)
            ids = tf.where(tf.equal(values, ""), tf.constant(empty, tf.int64), ids)
        return tf.cast(ids, tf.int32)

    def _sequence(self, name: str, transform: Any, values: Any) -> Any:
        pieces = tf.strings.split(values, transform.separator)
        pieces = tf.ragged.boolean_mask(pieces, tf.not_equal(pieces, ""))[:, : transform.length]
        ids = pieces.with_flat_values(self._ids(name, transform, pieces.flat_values))
        return ids.to_tensor(default_value=0, shape=[None, transform.length])


def _standardise(transform: Any, values: Any) -> Any:
    known = tf.math.is_finite(values)
    wide = tf.cast(tf.where(known, values, tf.zeros_like(values)), tf.float64)
    if transform.function == "log1p":
        wide = tf.sign(wide) * tf.math.log1p(tf.abs(wide))
    scaled = (wide - tf.constant(transform.mean, tf.float64)) / tf.constant(transform.std, tf.float64)
    return tf.cast(tf.where(known, scaled, tf.zeros_like(scaled)), tf.float32)


def _position(tokens: Any, token: str) -> int:
    return next((index for index, known in enumerate(tokens) if known == token), -1)


def _table(path: Path, transform: Any) -> tf.lookup.StaticHashTable:
    lines = (NO_TOKEN if token == "" else str(token) for token in transform.tokens)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    string = transform.dtype == "string"
    if not len(transform.tokens):
        # An empty file cannot initialise a table: one impossible key keeps every lookup at -1.
        key = tf.constant([NO_TOKEN] if string else [0], tf.string if string else tf.int64)
        initializer: Any = tf.lookup.KeyValueTensorInitializer(key, tf.constant([-1], tf.int64))
    else:
        initializer = tf.lookup.TextFileInitializer(
            str(path),
            key_dtype=tf.string if string else tf.int64,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE if string else 0,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)
