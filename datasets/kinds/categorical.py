"""Tokens, mapped to ids by a vocabulary."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ...schema import Categorical
from ..transforms.missing_numbers import missing_integers
from ..transforms.raw_values import Encoded, as_int64, as_strings
from ..transforms.token_counts import TokenCounts
from ..transforms.token_lookup import TokenLookup
from ..transforms.token_spelling import TokenSpelling
from ..transforms.vocabulary_fingerprint import vocabulary_fingerprint
from .kind import Column, Problem, Profile, RawDtype, Transform, check_count, check_missing, mixed
from .token_graph import graph_ids, graph_is_one_of, vocabulary_lines, vocabulary_table
from .typed_values import typed_integers, typed_text

_DTYPES = ("string", "int64")
# In a column with more values, a token that is seen once teaches the model nothing.
_FEW = 50
# With more tokens, and fewer rows for each on average, most tokens are rare.
_MANY = 10_000
_ENOUGH_ROWS = 4


@dataclasses.dataclass(frozen=True)
class TokenColumn(Column):
    """What columns of one token per row have in common, whose rows are counted to find a vocabulary."""

    dtype: RawDtype = "string"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype not in _DTYPES:
            raise ValueError(f"Column {self.name!r}: `dtype` must be one of {_DTYPES}. Received: {self.dtype!r}.")

    def feature(self, vocabulary_size: int) -> Categorical:
        """The schema's feature, with the number of ids that there is room for."""
        return Categorical(self.name, vocabulary_size, side=self.side)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as strings without nulls, or as Int64."""
        return (typed_text if self.dtype == "string" else typed_integers)(values, self.kind, problem)

    def empty(self) -> TokenCounts:
        """The counts of no rows."""
        return TokenCounts()


@dataclasses.dataclass(frozen=True)
class CategoricalColumn(TokenColumn):
    """One token per row, mapped to an id by a vocabulary of the frequent training tokens.

    An integer column may first be reduced: token = (value // divisor) % modulo, which takes e.g. the
    hour of the day out of YYMMDDHH. A missing string is the token `""`, a token like any other. Where all strings
    of the training rows are integers, `"84.0"` (as pandas writes a column with gaps) and `"84"` are one token.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dtype: `"string"`, or `"int64"` for columns that are always integers. Defaults to `"string"`.
        min_count: number of training rows in which a token must appear to get its own id. Rarer tokens are out of the
            vocabulary and share id 0, or id 1 where a sequence shares the vocabulary and id 0 is its padding. Defaults
            to 1.
        divisor: floor divisor of an integer column. Defaults to 1.
        modulo: modulus of an integer column after the division, or `None`.
        max_size: number of the most frequent tokens to keep, or `None` for all. Defaults to `None`.
        missing: spellings that mean missing: strings are read as `""`, integers are out of the vocabulary.
            Defaults to `()`.

    Example:
    >>> CategoricalColumn("hour_of_day", "context", raw="hour", dtype="int64", modulo=100).raw_name
    'hour'
    """

    min_count: int = 1
    divisor: int = 1
    modulo: int | None = None
    max_size: int | None = None
    missing: tuple[str, ...] = ()
    kind = "categorical"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"Column {self.name!r}"
        check_missing(owner, self.missing)
        check_count(owner, "min_count", self.min_count)
        check_count(owner, "divisor", self.divisor)
        for argument in ("modulo", "max_size"):
            if getattr(self, argument) is not None:
                check_count(owner, argument, getattr(self, argument))
        if self.dtype == "string" and (self.divisor != 1 or self.modulo is not None):
            raise ValueError(
                f"{owner}: `divisor` and `modulo` need integers. Received: divisor={self.divisor}, "
                f'modulo={self.modulo} with dtype="string". Pass dtype="int64".'
            )

    def summarize(self, values: pl.Series) -> TokenCounts:
        """The counts of a chunk's tokens."""
        if self.dtype == "string":
            return TokenCounts.of(TokenSpelling(self.missing)(as_strings(self.raw_name, values)))
        integers = as_int64(self.raw_name, values)
        known = integers[~np.isin(integers, missing_integers(self.missing))]
        return TokenCounts.of(pl.Series(_integer_tokens(known, self.divisor, self.modulo)))

    def thinned(self, summary: TokenCounts) -> TokenCounts:
        """The counts without rare tokens."""
        return summary.thinned(self.min_count, self.missing if self.dtype == "string" else ())

    def fit(self, summary: TokenCounts, owner: Any = None, shared: bool = False) -> "VocabularyTransform":
        """The transform with the vocabulary of all rows."""
        integers = summary.are_integers()
        tokens = summary.tokens(self.min_count, self.max_size, TokenSpelling(self.missing, integers))
        missing = self.missing if self.dtype == "string" else missing_integers(self.missing)
        tokens = tokens if self.dtype == "string" else tokens.astype("int64")
        return VocabularyTransform(
            self.raw_name, self.dtype, tokens, self.divisor, self.modulo, missing, integers, int(shared)
        )

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """A minimum count, where there are many tokens."""
        return {"min_count": 2} if profile.distinct > _FEW else {}

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """An offer of a hash, where many tokens have few rows each."""
        if profile.distinct <= _MANY or profile.rows >= _ENOUGH_ROWS * profile.distinct:
            return ""
        return (
            "many rare values, which min_count puts together; kind: hashed gives every value an id, also new ones, and "
            "kind: growing gives new ones an id of their own as a log goes on"
        )


class OfVocabulary(Transform):
    """What transforms to the ids of a vocabulary have in common.

    A subclass has the fields `tokens`, of which `tokens[i]` has id `i + 1 + unknown_id`; `unknown_id`; and `capacity`,
    the number of tokens that there is room for, or `None` for those of the vocabulary.
    """

    tokens: np.ndarray
    unknown_id: int
    capacity: int | None

    def graph_table(self, path: Path) -> Any:
        """The vocabulary."""
        return vocabulary_table(path, self.tokens, self.dtype)

    def graph_lines(self) -> list[str]:
        """The vocabulary."""
        return vocabulary_lines(self.tokens)

    def graph_constants(self) -> dict[str, Any]:
        """See the base; the id of an empty string, and whether there are tokens at all, stand in the graph."""
        return self.to_entry() | {"empty_id": empty_id(self.tokens), "has_tokens": bool(len(self.tokens))}

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, those of padding and of unknown tokens included."""
        return (len(self.tokens) if self.capacity is None else self.capacity) + 1 + self.unknown_id

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the vocabulary (see `Schema.check_fitted`)."""
        return vocabulary_fingerprint(self.tokens, self.unknown_id)

    @functools.cached_property
    def _lookup(self) -> TokenLookup:
        return TokenLookup(self.tokens)


@dataclasses.dataclass(frozen=True, eq=False)
class VocabularyTransform(OfVocabulary):
    """Map a token to its id; id 0 is out-of-vocabulary, or id 1 where a sequence shares the vocabulary.

    Args:
        raw: name of the raw column.
        dtype: `"string"` or `"int64"`, what the raw column holds.
        tokens: the vocabulary; `tokens[i]` has id `i + 1 + unknown_id`. Object array of `str`, or int64.
        divisor: floor divisor of integers before the lookup.
        modulo: modulus after the division, or `None`.
        missing: raw values that mean missing: strings that are read as `""`, or integers that are out of the
            vocabulary.
        integers: whether strings such as `"84.0"` are the token `"84"` (see `TokenSpelling`).
        unknown_id: id of what is out of the vocabulary: 0, or 1 where id 0 is the padding of a sequence that shares the
            vocabulary. Defaults to 0.
        capacity: number of tokens that there is room for. Defaults to `None`, those of the vocabulary.

    Raises:
        ValueError: if a token is repeated, or is not as `missing` and `integers` would have it.

    Example:
    >>> transform = VocabularyTransform("os", "string", np.array(["", "android"], dtype=object), missing=("NA",))
    >>> transform(["android", "windows", None, "NA"]).tolist()
    [2, 0, 1, 1]
    """

    raw: str
    dtype: RawDtype
    tokens: np.ndarray
    divisor: int = 1
    modulo: int | None = None
    missing: tuple[str, ...] | tuple[int, ...] = ()
    integers: bool = False
    unknown_id: int = 0
    capacity: int | None = None

    kind = "categorical"
    counts_unknown = True

    def __post_init__(self) -> None:
        self.spelling.check(self.raw, self.tokens)

    @property
    def absent_id(self) -> int:
        """Out of the vocabulary."""
        return self.unknown_id

    @functools.cached_property
    def spelling(self) -> TokenSpelling:
        """What a string is read as before it is looked up."""
        spelled = tuple(value for value in self.missing if isinstance(value, str))
        return TokenSpelling(spelled, self.integers) if self.dtype == "string" else TokenSpelling()

    def encode(self, values: Any) -> Encoded:
        """The ids, and how many are out-of-vocabulary."""
        ids = self._ids(self._raw_tokens(values))
        known = int(np.count_nonzero(ids))
        return Encoded(ids + np.int32(self.unknown_id) if self.unknown_id else ids, len(ids) - known, len(ids))

    def unknown(self, values: Any) -> pl.Series:
        """The tokens that are out of the vocabulary, as they stand in the raw column, each once."""
        tokens = self._raw_tokens(values)
        return tokens.filter(pl.Series(self._ids(tokens) == 0)).unique(maintain_order=True)

    def _raw_tokens(self, values: Any) -> pl.Series:
        return as_strings(self.raw, values) if self.dtype == "string" else pl.Series(as_int64(self.raw, values))

    def _ids(self, raw: pl.Series) -> np.ndarray:
        """Ids from 1 on, 0 for what is out of the vocabulary."""
        if self.dtype == "string":
            return self.spelling.ids(self._lookup, raw)
        integers = raw.to_numpy()
        ids = self._lookup.ids(pl.Series(_integer_tokens(integers, self.divisor, self.modulo)))
        return np.where(np.isin(integers, self.missing), np.int32(0), ids) if self.missing else ids

    def graph(self, values: Any, table: Any) -> Any:
        """The ids in TensorFlow."""
        import tensorflow as tf

        if self.dtype == "string":
            return graph_ids(values, table, empty_id(self.tokens), self.spelling) + self.unknown_id
        tokens = values
        if self.divisor != 1:
            tokens = tf.math.floordiv(tokens, tf.constant(self.divisor, tf.int64))
        if self.modulo is not None:
            tokens = tf.math.floormod(tokens, tf.constant(self.modulo, tf.int64))
        ids = tf.cast(table.lookup(tokens) + 1, tf.int32)
        if self.missing:
            ids = tf.where(graph_is_one_of(values, self.missing), tf.zeros_like(ids), ids)
        return ids + self.unknown_id

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Tokens of the vocabulary, some that mean missing or were never seen."""
        if self.dtype == "string":
            return sample_tokens(self.tokens, self.spelling, (rows,), generator)
        known = self.tokens if len(self.tokens) else np.array([0])
        unknown = np.array([np.iinfo("int64").max, *self.missing], "int64")
        return mixed(generator.choice(known, rows) * self.divisor, unknown, generator).astype("int64")

    def is_readable(self, most: int) -> bool:
        """Whether there are few ids."""
        return self.vocabulary_size <= most

    def readable(self, encoded: np.ndarray) -> pl.Series:
        """The tokens."""
        unknown = [UNKNOWN_TOKEN] * (1 + self.unknown_id)
        tokens = np.array([*unknown, *(str(token) for token in self.tokens)], dtype=object)
        return pl.Series(tokens[encoded], dtype=pl.String)


UNKNOWN_TOKEN = "(rare or unknown)"


def empty_id(tokens: np.ndarray) -> int:
    """The id of the token `""` in a vocabulary, 0 if it is not there."""
    return next((index + 1 for index, known in enumerate(tokens) if known == ""), 0)


def sample_tokens(
    tokens: np.ndarray, spelling: TokenSpelling, shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray:
    """Tokens, a few of them with decimals where these are dropped, that mean missing or were never seen."""
    unknown = np.array(["never seen in training", *spelling.missing], dtype=object)
    drawn = mixed(generator.choice(tokens if len(tokens) else unknown, shape), unknown, generator)
    decimals = spelling.integers & (generator.random(shape) < 0.1)
    return np.where(decimals & (drawn != ""), drawn + ".0", drawn)


def _integer_tokens(values: np.ndarray, divisor: int, modulo: int | None) -> np.ndarray:
    """`(value // divisor) % modulo` with floor semantics."""
    values = values // divisor if divisor != 1 else values
    return values if modulo is None else values % modulo
