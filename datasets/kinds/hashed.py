"""Maps tokens, one or several per row, to ids by a hash, without a vocabulary or a pass over the rows to find one."""

import dataclasses
import functools
from typing import Any

import numpy as np
import polars as pl
from farmhash import Fingerprint64

from ...schema import Categorical, Sequence
from ..transforms.missing_numbers import missing_integers
from ..transforms.raw_values import Encoded, as_int64, as_strings
from ..transforms.token_spelling import TokenSpelling
from ..transforms.vocabulary_fingerprint import fingerprint
from .kind import Column, Problem, Profile, RawDtype, Transform, check_count, check_missing, mixed
from .sequence import check_separator, first_tokens, padded, typed_lists
from .token_graph import graph_is_one_of, graph_pieces, graph_spelled
from .typed_values import typed_integers, typed_text

_DTYPES = ("string", "int64")
_MOST_BUCKETS = 2**31 - 2  # ids are int32
_LIST_BUCKETS = 65_536
# More distinct tokens in the rows that `tabular --init` looks at are too many for a vocabulary. With fewer a
# vocabulary that puts rare tokens together is better: on 28,544 rows of Criteo's display log, hashing the five columns
# of 10,000 to 15,000 tokens raised the test NE of one seed from 0.875 to 0.895.
_TOO_MANY = 50_000


@dataclasses.dataclass(frozen=True)
class HashedColumn(Column):
    """One token per row, mapped to an id by a hash, for columns with too many tokens or with new ones every day.

    The id is 1 + FarmHash's 64-bit fingerprint of the token modulo `buckets`, which is 1 +
    `tf.strings.to_hash_bucket_fast`. Nothing is fitted, every token has an id at once, and several tokens may share
    one. A missing token has id 0. Integers are hashed as their decimal text, so that `84` and `"84"` are one token.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dtype: `"string"`, or `"int64"` for columns that are always integers. Defaults to `"string"`.
        missing: spellings that mean missing. Defaults to `()`.
        integers: whether strings such as `"84.0"` (as pandas writes a column with gaps) are the token `"84"`.
            Defaults to `True`.
        buckets: number of ids, not counting the id of missing tokens (keyword).

    Example:
    >>> HashedColumn("ad_id", "ad", buckets=1000).fit(None)(["a7", "", "a8"])
    array([588,   0, 313], dtype=int32)
    """

    dtype: RawDtype = "string"
    missing: tuple[str, ...] = ()
    integers: bool = True
    buckets: int = dataclasses.field(kw_only=True)
    kind = "hashed"

    def __post_init__(self) -> None:
        owner = f"Column {self.name!r}"
        _check_buckets(owner, self.buckets)
        super().__post_init__()
        if self.dtype not in _DTYPES:
            raise ValueError(f"{owner}: `dtype` must be one of {_DTYPES}. Received: {self.dtype!r}.")
        check_missing(owner, self.missing)

    def feature(self, vocabulary_size: int) -> Categorical:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Categorical(self.name, self.buckets + 1, side=self.side)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as strings without nulls, or as Int64."""
        return (typed_text if self.dtype == "string" else typed_integers)(values, self.kind, problem)

    def fit(self, summary: Any, owner: Any = None, shared: bool = False) -> "HashedTransform":
        """The transform; nothing is learnt from rows."""
        missing = self.missing if self.dtype == "string" else missing_integers(self.missing)
        return HashedTransform(self.raw_name, self.dtype, self.buckets, missing, self.integers)

    @classmethod
    def suits(cls, kind: str, profile: Profile) -> bool:
        """Whether a column of tokens has too many for a vocabulary."""
        return kind == "categorical" and profile.distinct > _TOO_MANY

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """Two buckets for each token, or somewhat more."""
        return {"buckets": 1 << max(2 * profile.distinct - 1, 15).bit_length()}

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """Why no vocabulary is drafted, and when one is better."""
        if not cls.suits("categorical", profile):
            return ""
        return (
            "too many distinct values for a vocabulary, so a hash gives each one an id; kind: categorical with a large "
            "min_count puts the rare ones together instead, and kind: growing gives new ones an id of their own as a "
            "log goes on"
        )


class _OfHash(Transform):
    """What transforms to hashed ids have in common."""

    buckets: int
    integers: bool

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, 0 included."""
        return self.buckets + 1

    @property
    def absent_id(self) -> int:
        """The id of a missing token and of padding."""
        return 0

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the hash (see `Schema.check_fitted`)."""
        return _hash_fingerprint(self.buckets, self.integers)


@dataclasses.dataclass(frozen=True)
class HashedTransform(_OfHash):
    """Map a token to 1 + its FarmHash fingerprint modulo `buckets`, a missing one to 0.

    Args:
        raw: name of the raw column.
        dtype: `"string"` or `"int64"`, what the raw column holds.
        buckets: number of ids beside 0.
        missing: raw values that mean missing.
        integers: whether strings such as `"84.0"` are the token `"84"` (see `TokenSpelling`).

    Example:
    >>> HashedTransform("ad_id", "int64", 1000)(np.array([84]))
    array([733], dtype=int32)
    """

    raw: str
    dtype: RawDtype
    buckets: int
    missing: tuple[str, ...] | tuple[int, ...] = ()
    integers: bool = True

    kind = "hashed"

    @functools.cached_property
    def _spelling(self) -> TokenSpelling:
        return TokenSpelling(tuple(spelled for spelled in self.missing if isinstance(spelled, str)), self.integers)

    def encode(self, values: Any) -> Encoded:
        """The ids, and how many tokens are missing."""
        if self.dtype == "string":
            ids = _hashed(as_strings(self.raw, values), self.buckets, self._spelling)
        else:
            distinct, place = np.unique(as_int64(self.raw, values), return_inverse=True)
            ids = _hashed(pl.Series(distinct).cast(pl.String), self.buckets, TokenSpelling())
            ids = np.where(np.isin(distinct, self.missing), np.int32(0), ids)[place]
        return Encoded(ids, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def graph(self, values: Any, table: Any) -> Any:
        """The ids in TensorFlow."""
        import tensorflow as tf

        if self.dtype == "string":
            return _graph_hashed(values, self.buckets, self._spelling)
        ids = _graph_hashed(tf.strings.as_string(values), self.buckets, TokenSpelling())
        return tf.where(graph_is_one_of(values, self.missing), tf.zeros_like(ids), ids) if self.missing else ids

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Tokens of all lengths, some of them missing."""
        if self.dtype == "string":
            return _sample_tokens((rows,), self._spelling, generator)
        missing = np.array([np.iinfo("int64").min, *self.missing], "int64")
        return mixed(generator.integers(-1000, 10**12, rows), missing, generator).astype("int64")


@dataclasses.dataclass(frozen=True)
class HashedSequenceColumn(Column):
    """Several tokens in one string, split, each mapped to an id by a hash, and padded with 0 to a fixed length.

    The ids are those of a `HashedColumn`. Pieces that are empty or mean missing are dropped before the list is cut to
    its first `length` tokens. A hash knows every token, so none is out of the vocabulary.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        separator: what stands between tokens. Defaults to `","`.
        shares: name of a `HashedColumn` of as many buckets whose embeddings this one uses, or `None`.
        missing: spellings that mean missing, of the whole string or of a piece. Defaults to `()`.
        integers: whether pieces such as `"84.0"` are the token `"84"`. Defaults to `True`.
        length: number of tokens kept per row (keyword).
        buckets: number of ids, not counting the id of padding (keyword).

    Example:
    >>> HashedSequenceColumn("ads", "user", length=3, buckets=1000).fit(None)(["a8,,a7", ""]).tolist()
    [[313, 588, 0], [0, 0, 0]]
    """

    separator: str = ","
    shares: str | None = None
    missing: tuple[str, ...] = ()
    integers: bool = True
    length: int = dataclasses.field(kw_only=True)
    buckets: int = dataclasses.field(kw_only=True)
    kind = "hashed_sequence"
    dtype = "string"

    def __post_init__(self) -> None:
        owner = f"Column {self.name!r}"
        check_count(owner, "length", self.length)
        _check_buckets(owner, self.buckets)
        super().__post_init__()
        check_missing(owner, self.missing)
        check_separator(owner, self.separator)

    @property
    def owner(self) -> str | None:
        """The column whose ids are shared."""
        return self.shares

    def check_owner(self, owner: Column) -> None:
        """Raise unless the owner's hash is the same."""
        alike = isinstance(owner, HashedColumn) and (owner.buckets, owner.integers) == (self.buckets, self.integers)
        if not alike:
            raise ValueError(
                f"Column {self.name!r} shares the ids of {owner.name!r}, which must be a HashedColumn with "
                f"buckets={self.buckets} and integers={self.integers}. Received: {owner!r}."
            )

    def feature(self, vocabulary_size: int) -> Sequence:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Sequence(self.name, self.buckets + 1, self.length, side=self.side, shares=self.shares)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as strings; a Parquet file's lists are joined."""
        return typed_lists(values, self.kind, self.separator, problem)

    def fit(self, summary: Any, owner: Any = None, shared: bool = False) -> "HashedSequenceTransform":
        """The transform; nothing is learnt from rows."""
        return HashedSequenceTransform(
            self.raw_name, self.buckets, self.separator, self.length, self.missing, self.integers
        )

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """The length that most lists have, what separates their pieces, and many buckets."""
        separator = profile.separator
        shown = {"separator": separator} if profile.is_text and separator else {}
        return {"length": profile.pieces(separator), **shown, "buckets": _LIST_BUCKETS}


@dataclasses.dataclass(frozen=True)
class HashedSequenceTransform(_OfHash):
    """Split a string into tokens, map each to 1 + its FarmHash fingerprint modulo `buckets`, and pad with 0.

    Args:
        raw: name of the raw column.
        buckets: number of ids beside 0.
        separator: what stands between tokens.
        length: number of ids per row.
        missing: strings that mean missing, of the whole column or of a piece.
        integers: whether pieces such as `"84.0"` are the token `"84"` (see `TokenSpelling`).

    Example:
    >>> HashedSequenceTransform("ads", 1000, ",", length=2)(["84,a7,b"]).tolist()
    [[733, 588]]
    """

    raw: str
    buckets: int
    separator: str
    length: int
    missing: tuple[str, ...] = ()
    integers: bool = True

    kind = "hashed_sequence"
    dtype = "string"

    @functools.cached_property
    def _spelling(self) -> TokenSpelling:
        return TokenSpelling(self.missing, self.integers)

    def encode(self, values: Any) -> Encoded:
        """The padded ids; none is replaced."""
        lengths, flat = first_tokens(as_strings(self.raw, values), self.separator, self.length, self._spelling)
        ids = _hashed(flat, self.buckets, self._spelling)
        return Encoded(padded(lengths, ids, self.length), 0, len(ids))

    def graph(self, values: Any, table: Any) -> Any:
        """The padded ids in TensorFlow."""
        pieces = graph_pieces(values, self.separator, self.length, self._spelling)
        ids = _graph_hashed(pieces.flat_values, self.buckets, self._spelling)
        return pieces.with_flat_values(ids).to_tensor(default_value=0, shape=[None, self.length])

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Lists of tokens, some of them missing."""
        drawn = _sample_tokens((rows, self.length), self._spelling, generator)
        return np.array([self.separator.join(pieces) for pieces in drawn], dtype=object)


def _hashed(tokens: pl.Series, buckets: int, spelling: TokenSpelling) -> np.ndarray:
    """The ids of tokens in any spelling, 0 for `""`."""
    distinct = tokens.unique()  # each is spelled and hashed once
    # Bytes that are not text are read as line breaks, and TensorFlow may see another number of them.
    texts = spelling(distinct).str.replace_all("\n+", "\n")
    hashes = np.fromiter(map(Fingerprint64, texts), "uint64", len(texts))
    ids = np.where((texts == "").to_numpy(), 0, hashes % np.uint64(buckets) + np.uint64(1)).astype("int32")
    return ids[tokens.cast(pl.Enum(distinct)).to_physical().to_numpy()]


def _graph_hashed(tokens: Any, buckets: int, spelling: TokenSpelling) -> Any:
    """As `_hashed`, in TensorFlow."""
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(graph_spelled(tokens, spelling), "UTF-8", "UTF-8", replacement_char=ord("\n"))
    texts = tf.strings.regex_replace(texts, "\n+", "\n")
    ids = tf.cast(tf.strings.to_hash_bucket_fast(texts, buckets) + 1, tf.int32)
    return tf.where(tf.equal(texts, ""), tf.zeros_like(ids), ids)


def _hash_fingerprint(buckets: int, integers: bool) -> str:
    return fingerprint([f"farmhash {buckets} {integers}"])


def _check_buckets(owner: str, buckets: int) -> None:
    check_count(owner, "buckets", buckets)
    if buckets > _MOST_BUCKETS:
        raise ValueError(f"{owner}: `buckets` must be at most {_MOST_BUCKETS:,}. Received: buckets={buckets!r}.")


def _sample_tokens(shape: tuple[int, ...], spelling: TokenSpelling, generator: np.random.Generator) -> np.ndarray:
    numbers = generator.integers(0, 10**9, shape)
    tokens = np.where(generator.random(shape) < 0.5, numbers.astype(str), "tökèn " + numbers.astype(str)).astype(object)
    tokens = tokens + np.where(spelling.integers & (generator.random(shape) < 0.1), ".0", "").astype(object)
    return mixed(tokens, np.array(["", *spelling.missing], dtype=object), generator)
