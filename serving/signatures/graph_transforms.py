"""The fitted transforms as TensorFlow ops, for the inside of a SavedModel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ...datasets import SequenceTransform, TableTransforms, VectorTransform, VocabularyTransform
from ...datasets.transforms.token_spelling import INTEGER_WITH_DECIMALS

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
        vocabularies = {
            name: transform
            for name, transform in transforms.columns.items()
            if isinstance(transform, VocabularyTransform | SequenceTransform)
        }
        self.tables = {name: _table(folder / f"{name}.txt", transform) for name, transform in vocabularies.items()}
        self._empty = {name: _position(transform.tokens, "") + 1 for name, transform in vocabularies.items()}

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
            return self._integers(name, transform, values)
        return self._ids(name, transform, values)

    def _integers(self, name: str, transform: Any, values: Any) -> Any:
        tokens = values
        if transform.divisor != 1:
            tokens = tf.math.floordiv(tokens, tf.constant(transform.divisor, tf.int64))
        if transform.modulo is not None:
            tokens = tf.math.floormod(tokens, tf.constant(transform.modulo, tf.int64))
        ids = tf.cast(self.tables[name].lookup(tokens) + 1, tf.int32)
        if transform.missing:
            ids = tf.where(_is_one_of(values, tf.constant(transform.missing, tf.int64)), tf.zeros_like(ids), ids)
        return ids

    def _ids(self, name: str, transform: Any, tokens: Any) -> Any:
        ids = self._known_ids(name, tokens)
        if transform.spelling.missing or transform.spelling.integers:
            # Tokens of the vocabulary are in their one spelling already: only the others, few of them, are rewritten.
            unknown = tf.where(tf.equal(ids, 0))
            again = self._known_ids(name, _spelled(transform.spelling, tf.gather_nd(tokens, unknown)))
            ids = tf.tensor_scatter_nd_update(ids, unknown, again)
        return tf.cast(ids, tf.int32)

    def _known_ids(self, name: str, tokens: Any) -> Any:
        ids = self.tables[name].lookup(tokens) + 1
        if self._empty[name]:
            ids = tf.where(tf.equal(tokens, NO_TOKEN), tf.constant(0, tf.int64), ids)
            ids = tf.where(tf.equal(tokens, ""), tf.constant(self._empty[name], tf.int64), ids)
        return ids

    def _sequence(self, name: str, transform: Any, values: Any) -> Any:
        if transform.missing:
            whole = _is_one_of(values, tf.constant(transform.missing))
            values = tf.where(whole, tf.constant(""), values)
        pieces = tf.strings.split(values, transform.separator)
        read = pieces.flat_values
        if transform.missing:
            read = _spelled(transform.spelling, read)
        kept = pieces.with_flat_values(tf.not_equal(read, ""))
        pieces = tf.ragged.boolean_mask(pieces, kept)[:, : transform.length]
        ids = pieces.with_flat_values(self._ids(name, transform, pieces.flat_values))
        return ids.to_tensor(default_value=0, shape=[None, transform.length])


def _spelled(spelling: Any, tokens: Any) -> Any:
    """Tokens in their one spelling, as `TokenSpelling` has it."""
    if spelling.integers:
        tokens = tf.strings.regex_replace(tokens, INTEGER_WITH_DECIMALS, r"\1", replace_global=False)
    if spelling.missing:
        tokens = tf.where(_is_one_of(tokens, tf.constant(spelling.spelled_missing)), tf.constant(""), tokens)
    return tokens


def _is_one_of(values: Any, some: Any) -> Any:
    return tf.reduce_any(tf.equal(values[..., tf.newaxis], some), axis=-1)


def _standardise(transform: Any, values: Any) -> Any:
    known = tf.math.is_finite(values)
    if transform.missing:
        known = tf.logical_and(known, tf.logical_not(_is_one_of(values, tf.constant(transform.missing, tf.float32))))
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
