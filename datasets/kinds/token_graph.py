"""Tokens in TensorFlow: the same spellings and the same ids as in Python."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..transforms.token_counts import NO_TOKEN
from ..transforms.token_spelling import INTEGER_WITH_DECIMALS, TokenSpelling


def vocabulary_lines(tokens: np.ndarray) -> list[str]:
    """The lines of the text file that `vocabulary_table` reads, one a token."""
    return [str(NO_TOKEN if token == "" else token) for token in tokens.tolist()]


def vocabulary_table(path: Path, tokens: np.ndarray, dtype: str) -> Any:
    """A lookup table from tokens to their positions, -1 for others.

    Args:
        path: the file to write, with one token per line; it must stay until the SavedModel that copies it is written.
        tokens: the vocabulary.
        dtype: `"string"` or `"int64"`.
    """
    import tensorflow as tf

    path.write_text("".join(f"{line}\n" for line in vocabulary_lines(tokens)), encoding="utf-8", newline="\n")
    string = dtype == "string"
    if not len(tokens):
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


def graph_ids(tokens: Any, table: Any, empty: int, spelling: TokenSpelling) -> Any:
    """The int32 ids of string tokens in any spelling, 0 for those out of the vocabulary.

    Args:
        tokens: a tensor of strings.
        table: what `vocabulary_table` gave.
        empty: the id of `""`, 0 if it is out of the vocabulary.
        spelling: what tokens are read as.
    """
    import tensorflow as tf

    def known(tokens: Any) -> Any:
        ids = table.lookup(tokens) + 1
        if empty:
            ids = tf.where(tf.equal(tokens, NO_TOKEN), tf.constant(0, tf.int64), ids)
            ids = tf.where(tf.equal(tokens, ""), tf.constant(empty, tf.int64), ids)
        return ids

    ids = known(tokens)
    if spelling.missing or spelling.integers:
        # Tokens of the vocabulary are in their one spelling already: only the others, few of them, are rewritten.
        unknown = tf.where(tf.equal(ids, 0))
        again = known(graph_spelled(tf.gather_nd(tokens, unknown), spelling))
        ids = tf.tensor_scatter_nd_update(ids, unknown, again)
    return tf.cast(ids, tf.int32)


def graph_spelled(tokens: Any, spelling: TokenSpelling) -> Any:
    """Tokens in their one spelling, as `TokenSpelling` has it."""
    import tensorflow as tf

    if spelling.integers:
        tokens = tf.strings.regex_replace(tokens, INTEGER_WITH_DECIMALS, r"\1", replace_global=False)
    if spelling.missing:
        tokens = tf.where(graph_is_one_of(tokens, spelling.spelled_missing), tf.constant(""), tokens)
    return tokens


def graph_pieces(
    values: Any, separator: str, length: int, spelling: TokenSpelling, token: Callable[[Any], Any] | None = None
) -> Any:
    """The first pieces of each string that are neither empty nor mean missing, a ragged tensor.

    Args:
        values: a tensor of strings.
        separator: what stands between pieces.
        length: most pieces of a string.
        spelling: what pieces are read as.
        token: takes the token out of a piece that holds more. Defaults to `None`.
    """
    import tensorflow as tf

    if spelling.missing:
        values = tf.where(graph_is_one_of(values, spelling.missing), tf.constant(""), values)
    pieces = tf.strings.split(values, separator)
    read = pieces.flat_values if token is None else token(pieces.flat_values)
    read = graph_spelled(read, spelling) if spelling.missing else read
    return tf.ragged.boolean_mask(pieces, pieces.with_flat_values(tf.not_equal(read, "")))[:, :length]


def graph_is_one_of(values: Any, some: Sequence[Any]) -> Any:
    """Whether each value is one of some."""
    import tensorflow as tf

    return tf.reduce_any(tf.equal(values[..., tf.newaxis], tf.constant(some, values.dtype)), axis=-1)
