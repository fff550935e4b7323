"""Several tokens per row, mapped to ids by a vocabulary."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from ...schema import Sequence
from ..transforms.raw_values import Encoded, as_strings
from ..transforms.token_counts import TokenCounts
from ..transforms.token_spelling import TokenSpelling
from .categorical import CategoricalColumn, OfVocabulary, empty_id, sample_tokens
from .growing import GrowingColumn
from .kind import Column, Problem, Profile, check_count, check_missing
from .token_graph import graph_ids, graph_pieces
from .typed_values import decoded, has_text, is_list, misfit, typed_text


@dataclasses.dataclass(frozen=True)
class SequenceColumn(Column):
    """Several tokens in one string, split, mapped to ids and padded with 0 to a fixed length.

    Pieces that are empty or mean missing are dropped before the list is cut to its first `length` tokens; an unknown
    token keeps its place with id 1, so that it is not taken for padding. Known tokens have ids from 2 on.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        separator: what stands between tokens. Defaults to `","`.
        min_count: how often a token must appear in training rows to get its own id. Defaults to 1.
        max_size: number of the most frequent tokens to keep, or `None` for all. Defaults to `None`.
        shares: name of a `CategoricalColumn` or `GrowingColumn` of strings whose vocabulary and embeddings this one
            uses, or `None`. Its own `min_count` and `max_size` are then not used.
        missing: spellings that mean missing, of the whole string or of a piece. Defaults to `()`.
        length: number of tokens kept per row (keyword).
        beside: name of a sequence of the same length whose tokens this one tells more of, place by place (keyword, see
            `Sequence`). Pieces are dropped in each by itself, so give an unknown one a token. Defaults to `None`.

    Example:
    >>> SequenceColumn("tag", "ad", length=3).feature(vocabulary_size=70).shape
    (3,)
    """

    separator: str = ","
    min_count: int = 1
    max_size: int | None = None
    shares: str | None = None
    missing: tuple[str, ...] = ()
    length: int = dataclasses.field(kw_only=True)
    beside: str | None = dataclasses.field(default=None, kw_only=True)
    kind = "sequence"
    dtype = "string"

    def __post_init__(self) -> None:
        check_count(f"Column {self.name!r}", "length", self.length)
        super().__post_init__()
        check_missing(f"Column {self.name!r}", self.missing)
        check_count(f"Column {self.name!r}", "min_count", self.min_count)
        if self.max_size is not None:
            check_count(f"Column {self.name!r}", "max_size", self.max_size)
        check_separator(f"Column {self.name!r}", self.separator)

    @property
    def owner(self) -> str | None:
        """The column whose vocabulary is shared."""
        return self.shares

    def check_owner(self, owner: Column) -> None:
        """Raise unless the owner has one string per row."""
        if not isinstance(owner, CategoricalColumn | GrowingColumn) or owner.dtype != "string":
            raise ValueError(
                f"Column {self.name!r} shares the vocabulary of {owner.name!r}, which must be a CategoricalColumn "
                f'or a GrowingColumn with dtype="string", as the tokens of a sequence are. Received: {owner!r}.'
            )

    def feature(self, vocabulary_size: int) -> Sequence:
        """The schema's feature, with the size that fitting found."""
        return Sequence(self.name, vocabulary_size, self.length, side=self.side, shares=self.shares, beside=self.beside)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as strings; a Parquet file's lists are joined."""
        return typed_lists(values, self.kind, self.separator, problem)

    def empty(self) -> TokenCounts | None:
        """The counts of no rows, `None` where the vocabulary is another column's."""
        return None if self.shares else TokenCounts()

    def summarize(self, values: pl.Series) -> TokenCounts:
        """The counts of a chunk's tokens."""
        pieces = split_tokens(as_strings(self.raw_name, values), self.separator, TokenSpelling(self.missing))
        return TokenCounts.of(pieces.filter(pieces.list.len() > 0).explode())

    def thinned(self, summary: TokenCounts) -> TokenCounts:
        """The counts without rare tokens."""
        return summary.thinned(self.min_count, self.missing)

    def fit(self, summary: TokenCounts, owner: Any = None, shared: bool = False) -> "SequenceTransform":
        """The transform with the vocabulary of all rows, or of the owner."""
        capacity = None
        if owner is not None:
            tokens, integers, capacity = owner.tokens, owner.integers, owner.capacity
        else:
            integers = summary.are_integers()
            tokens = summary.tokens(self.min_count, self.max_size, TokenSpelling(self.missing, integers))
            tokens = tokens[tokens != ""]  # a piece that means missing takes no place
        return SequenceTransform(
            self.raw_name, tokens, self.separator, self.length, self.missing, integers, capacity=capacity
        )

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """The length that most lists have, and what separates their pieces."""
        separator = profile.separator
        shown = {"separator": separator} if profile.is_text and separator else {}
        return {"length": profile.pieces(separator)} | shown


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceTransform(OfVocabulary):
    """Split a string into tokens, map them to ids and pad with 0.

    Pieces that are empty or mean missing are dropped, then the first `length` tokens are kept; an unknown token keeps
    its place with id 1.

    Args:
        raw: name of the raw column.
        tokens: the vocabulary; `tokens[i]` has id `i + 1 + unknown_id` (object array of `str`).
        separator: what stands between tokens.
        length: number of ids per row.
        missing: strings that mean missing, of the whole column or of a piece.
        integers: whether pieces such as `"84.0"` are the token `"84"` (see `TokenSpelling`).
        unknown_id: id of an unknown token: 1, or 0 as padding has in transforms that earlier versions wrote.
            Defaults to 1.
        capacity: number of tokens that there is room for. Defaults to `None`, those of the vocabulary.

    Raises:
        ValueError: if a token is repeated, or is not as `missing` and `integers` would have it.

    Example:
    >>> transform = SequenceTransform("tag", np.array(["7", "62"], dtype=object), ",", length=3)
    >>> transform(["62,7", "", "9,,62"]).tolist()
    [[3, 2, 0], [0, 0, 0], [1, 3, 0]]
    """

    raw: str
    tokens: np.ndarray
    separator: str
    length: int
    missing: tuple[str, ...] = ()
    integers: bool = False
    unknown_id: int = 1
    capacity: int | None = None

    kind = "sequence"
    dtype = "string"
    counts_unknown = True

    def __post_init__(self) -> None:
        # Pieces that mean missing are dropped before the lookup, so a shared vocabulary may hold them.
        TokenSpelling(integers=self.integers).check(self.raw, self.tokens)

    @property
    def absent_id(self) -> int:
        """Padding: a list of nothing."""
        return 0

    @functools.cached_property
    def spelling(self) -> TokenSpelling:
        """What a piece is read as before it is looked up."""
        return TokenSpelling(self.missing, self.integers)

    def encode(self, values: Any) -> Encoded:
        """The padded ids, and how many of the kept tokens are out-of-vocabulary."""
        lengths, flat = self._pieces(values)
        ids = self.spelling.ids(self._lookup, flat)
        known = int(np.count_nonzero(ids))
        ids += np.int32(self.unknown_id)
        return Encoded(padded(lengths, ids, self.length), len(ids) - known, len(ids))

    def unknown(self, values: Any) -> pl.Series:
        """The kept tokens that are out of the vocabulary, as they stand in the raw column, each once."""
        _, flat = self._pieces(values)
        return flat.filter(pl.Series(self.spelling.ids(self._lookup, flat) == 0)).unique(maintain_order=True)

    def _pieces(self, values: Any) -> tuple[np.ndarray, pl.Series]:
        return first_tokens(as_strings(self.raw, values), self.separator, self.length, self.spelling)

    def following(self, owner: OfVocabulary) -> "SequenceTransform":
        """The transform with the tokens that an extended owner has now."""
        if (owner.fingerprint, owner.vocabulary_size) == (self.fingerprint, self.vocabulary_size):
            return self
        return dataclasses.replace(self, tokens=owner.tokens, capacity=owner.capacity)

    def graph(self, values: Any, table: Any) -> Any:
        """The padded ids in TensorFlow."""
        pieces = self._graph_pieces(values)
        ids = graph_ids(pieces.flat_values, table, empty_id(self.tokens), self.spelling) + self.unknown_id
        return pieces.with_flat_values(ids).to_tensor(default_value=0, shape=[None, self.length])

    def _graph_pieces(self, values: Any) -> Any:
        return graph_pieces(values, self.separator, self.length, self.spelling)

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Lists of the vocabulary's tokens, some that mean missing or were never seen."""
        drawn = sample_tokens(self.tokens, self.spelling, (rows, self.length), generator)
        return np.array([self.separator.join(pieces) for pieces in drawn], dtype=object)


def split_tokens(
    strings: pl.Series, separator: str, spelling: TokenSpelling, token: Callable[[pl.Expr], pl.Expr] | None = None
) -> pl.Series:
    """Lists of the pieces that are neither empty nor mean missing, as they stand in the strings.

    Args:
        strings: the strings.
        separator: what stands between pieces.
        spelling: what pieces are read as.
        token: takes the token out of a piece that holds more. Defaults to `None`.

    Example:
    >>> split_tokens(pl.Series(["7,,NA,8.0", "NA"]), ",", TokenSpelling(("NA",))).to_list()
    [['7', '8.0'], []]
    """
    piece = pl.element() if token is None else token(pl.element())
    if spelling.missing:
        strings = TokenSpelling(spelling.missing)(strings)
        piece = spelling.expression(piece)
    return strings.str.split(separator).list.eval(pl.element().filter(piece != ""))


def first_tokens(
    strings: pl.Series,
    separator: str,
    length: int,
    spelling: TokenSpelling,
    token: Callable[[pl.Expr], pl.Expr] | None = None,
) -> tuple[np.ndarray, pl.Series]:
    """How many tokens of each row are kept, and these one after the other."""
    pieces = split_tokens(strings, separator, spelling, token).list.head(length)
    lengths = pieces.list.len().to_numpy().astype("int64")
    return lengths, pieces.filter(pieces.list.len() > 0).explode()  # exploding an empty list would give a null


def padded(lengths: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    """Values that stand one after the other as rows, with zeros behind.

    Example:
    >>> padded(np.array([2, 0, 1]), np.array([5, 6, 7]), 2).tolist()
    [[5, 6], [0, 0], [7, 0]]
    """
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    array = np.zeros((len(lengths), length), values.dtype)
    array[rows, positions] = values
    return array


def typed_lists(values: pl.Series, kind: str, separator: str, problem: Problem) -> pl.Series:
    """Strings as they are, and lists as one string each, as a served model takes them.

    Args:
        values: strings or lists.
        kind: what the column is described as, for messages.
        separator: what joins the items of lists; none may be torn apart when it is split again.
        problem: called with a mask of rows that do not fit, and what was expected of them.
    """
    if not is_list(values.dtype):
        return typed_text(values, kind, problem)
    inner = getattr(values.dtype, "inner", None)
    if not has_text(inner):
        raise misfit(values, kind, "lists of text or numbers")
    lists = decoded(values, pl.List(pl.String))
    if inner == pl.Binary:
        lost = lists.list.drop_nulls().list.len() < values.cast(pl.List(inner)).list.drop_nulls().list.len()
        problem(lost.fill_null(False).to_numpy(), "items of text in UTF-8")
    joined = lists.list.join(separator).fill_null("")
    items = lists.list.eval(pl.element().filter(pl.element() != "")).fill_null([])
    torn = split_tokens(joined, separator, TokenSpelling()).ne_missing(items)
    problem(
        torn.to_numpy(),
        f"items that keep apart when joined by {separator!r}: choose another `separator`, one that occurs in no item",
    )
    return joined


def check_separator(owner: str, separator: object) -> None:
    """Raise unless a separator is a string of at least one character."""
    if not isinstance(separator, str) or not separator:
        raise ValueError(f"{owner}: `separator` must be a string of at least one character. Received: {separator!r}.")
