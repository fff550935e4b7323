"""Several tokens per row, mapped to ids by a hash."""

import dataclasses
import functools
from typing import Any

import numpy as np
import polars as pl

from ...schema import Sequence
from ..transforms.raw_values import Encoded, as_strings
from ..transforms.token_spelling import TokenSpelling
from .hashed import HashedColumn, OfHash
from .kind import Column, Problem, Profile, check_count, check_missing
from .sequence import check_separator, first_tokens, padded, typed_lists
from .token_graph import graph_pieces
from .token_hash import check_buckets, graph_hashed_ids, hashed_ids, sample_texts

_DRAFTED_BUCKETS = 65_536


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
        beside: name of a sequence of the same length whose tokens this one tells more of, place by place (keyword, see
            `Sequence`). Pieces are dropped in each by itself, so give an unknown one a token. Defaults to `None`.
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
    beside: str | None = dataclasses.field(default=None, kw_only=True)
    buckets: int = dataclasses.field(kw_only=True)
    kind = "hashed_sequence"
    dtype = "string"

    def __post_init__(self) -> None:
        owner = f"Column {self.name!r}"
        check_count(owner, "length", self.length)
        check_buckets(owner, self.buckets)
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
        return Sequence(
            self.name, self.buckets + 1, self.length, side=self.side, shares=self.shares, beside=self.beside
        )

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
        return {"length": profile.pieces(separator), **shown, "buckets": _DRAFTED_BUCKETS}


@dataclasses.dataclass(frozen=True)
class HashedSequenceTransform(OfHash):
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
        ids = hashed_ids(flat, self.buckets, self._spelling)
        return Encoded(padded(lengths, ids, self.length), 0, len(ids))

    def graph(self, values: Any, table: Any) -> Any:
        """The padded ids in TensorFlow."""
        pieces = graph_pieces(values, self.separator, self.length, self._spelling)
        ids = graph_hashed_ids(pieces.flat_values, self.buckets, self._spelling)
        return pieces.with_flat_values(ids).to_tensor(default_value=0, shape=[None, self.length])

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Lists of tokens, some of them missing."""
        drawn = sample_texts((rows, self.length), self._spelling, generator)
        return np.array([self.separator.join(pieces) for pieces in drawn], dtype=object)
