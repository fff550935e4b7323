"""The id of a token by its hash, the same in Python and in TensorFlow."""

from typing import Any

import numpy as np
import polars as pl
from farmhash import Fingerprint64

from ..transforms.token_spelling import TokenSpelling
from .kind import check_count, mixed
from .token_graph import graph_spelled

_MOST_BUCKETS = 2**31 - 2  # ids are int32


def hashed_ids(tokens: pl.Series, buckets: int, spelling: TokenSpelling) -> np.ndarray:
    """The ids of tokens in any spelling, int32: 1 + FarmHash's fingerprint modulo `buckets`, and 0 for `""`.

    Args:
        tokens: strings without nulls.
        buckets: number of ids beside 0.
        spelling: which spellings are one token.
    """
    distinct = tokens.unique()  # each is spelled and hashed once
    # Bytes that are not text are read as line breaks, and TensorFlow may see another number of them.
    texts = spelling(distinct).str.replace_all("\n+", "\n")
    hashes = np.fromiter(map(Fingerprint64, texts), "uint64", len(texts))
    ids = np.where((texts == "").to_numpy(), 0, hashes % np.uint64(buckets) + np.uint64(1)).astype("int32")
    return ids[tokens.cast(pl.Enum(distinct)).to_physical().to_numpy()]


def graph_hashed_ids(tokens: Any, buckets: int, spelling: TokenSpelling) -> Any:
    """As `hashed_ids`, in TensorFlow.

    Args:
        tokens: a tensor of strings.
        buckets: number of ids beside 0.
        spelling: which spellings are one token.
    """
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(graph_spelled(tokens, spelling), "UTF-8", "UTF-8", replacement_char=ord("\n"))
    texts = tf.strings.regex_replace(texts, "\n+", "\n")
    ids = tf.cast(tf.strings.to_hash_bucket_fast(texts, buckets) + 1, tf.int32)
    return tf.where(tf.equal(texts, ""), tf.zeros_like(ids), ids)


def check_buckets(owner: str, buckets: int) -> None:
    """Raise unless a number of buckets is a positive integer that leaves ids within int32."""
    check_count(owner, "buckets", buckets)
    if buckets > _MOST_BUCKETS:
        raise ValueError(f"{owner}: `buckets` must be at most {_MOST_BUCKETS:,}. Received: buckets={buckets!r}.")


def sample_texts(shape: tuple[int, ...], spelling: TokenSpelling, generator: np.random.Generator) -> np.ndarray:
    """Tokens of digits and of other text, some of them missing."""
    numbers = generator.integers(0, 10**9, shape)
    tokens = np.where(generator.random(shape) < 0.5, numbers.astype(str), "tökèn " + numbers.astype(str)).astype(object)
    tokens = tokens + np.where(spelling.integers & (generator.random(shape) < 0.1), ".0", "").astype(object)
    return mixed(tokens, np.array(["", *spelling.missing], dtype=object), generator)
