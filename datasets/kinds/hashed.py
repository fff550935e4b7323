"""One token per row, mapped to an id by a hash, without a vocabulary or a pass over the rows to find one."""

import dataclasses
import functools
from typing import Any

import numpy as np
import polars as pl

from ...schema import Categorical
from ..transforms.missing_numbers import missing_integers
from ..transforms.raw_values import Encoded, as_int64, as_strings
from ..transforms.token_spelling import TokenSpelling
from ..transforms.vocabulary_fingerprint import fingerprint
from .kind import Column, Problem, Profile, RawDtype, Transform, check_missing, mixed
from .token_graph import graph_is_one_of
from .token_hash import check_buckets, graph_hashed_ids, hashed_ids, sample_texts
from .typed_values import typed_integers, typed_text

_DTYPES = ("string", "int64")
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
        check_buckets(owner, self.buckets)
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


class OfHash(Transform):
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
        return fingerprint([f"farmhash {self.buckets} {self.integers}"])


@dataclasses.dataclass(frozen=True)
class HashedTransform(OfHash):
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
            ids = hashed_ids(as_strings(self.raw, values), self.buckets, self._spelling)
        else:
            distinct, place = np.unique(as_int64(self.raw, values), return_inverse=True)
            ids = hashed_ids(pl.Series(distinct).cast(pl.String), self.buckets, TokenSpelling())
            ids = np.where(np.isin(distinct, self.missing), np.int32(0), ids)[place]
        return Encoded(ids, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def graph(self, values: Any, table: Any) -> Any:
        """The ids in TensorFlow."""
        import tensorflow as tf

        if self.dtype == "string":
            return graph_hashed_ids(values, self.buckets, self._spelling)
        ids = graph_hashed_ids(tf.strings.as_string(values), self.buckets, TokenSpelling())
        return tf.where(graph_is_one_of(values, self.missing), tf.zeros_like(ids), ids) if self.missing else ids

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Tokens of all lengths, some of them missing."""
        if self.dtype == "string":
            return sample_texts((rows,), self._spelling, generator)
        missing = np.array([np.iinfo("int64").min, *self.missing], "int64")
        return mixed(generator.integers(-1000, 10**12, rows), missing, generator).astype("int64")
