"""The fitted transform of a column with several tokens per row."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import polars as pl

from .raw_values import Encoded, as_strings
from .token_lookup import TokenLookup
from .token_spelling import TokenSpelling
from .vocabulary_fingerprint import vocabulary_fingerprint


def split_tokens(strings: pl.Series, separator: str, spelling: TokenSpelling) -> pl.Series:
    """Lists of the pieces that are neither empty nor mean missing, as they stand in the strings.

    Example:
    >>> split_tokens(pl.Series(["7,,NA,8.0", "NA"]), ",", TokenSpelling(("NA",))).to_list()
    [['7', '8.0'], []]
    """
    piece = pl.element()
    if spelling.missing:
        strings = TokenSpelling(spelling.missing)(strings)
        piece = spelling.expression(piece)
    return strings.str.split(separator).list.eval(pl.element().filter(piece != ""))


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceTransform:
    """Split a string into tokens, map them to ids and pad with 0.

    Pieces that are empty or mean missing are dropped, then the first `length` tokens are kept; an unknown token keeps
    its place with id 0.

    Args:
        raw: name of the raw column.
        tokens: the vocabulary; `tokens[i]` has id `i + 1` (object array of `str`).
        separator: what stands between tokens.
        length: number of ids per row.
        missing: strings that mean missing, of the whole column or of a piece.
        integers: whether pieces such as `"84.0"` are the token `"84"` (see `TokenSpelling`).

    Raises:
        ValueError: if a token is repeated, or is not as `missing` and `integers` would have it.

    Example:
    >>> transform = SequenceTransform("tag", np.array(["7", "62"], dtype=object), ",", length=3)
    >>> transform(["62,7", "", "9,,62"]).tolist()
    [[2, 1, 0], [0, 0, 0], [0, 2, 0]]
    """

    raw: str
    tokens: np.ndarray
    separator: str
    length: int
    missing: tuple[str, ...] = ()
    integers: bool = False

    kind: ClassVar[str] = "sequence"
    dtype: ClassVar[str] = "string"

    def __post_init__(self) -> None:
        # Pieces that mean missing are dropped before the lookup, so a shared vocabulary may hold them.
        TokenSpelling(integers=self.integers).check(self.raw, self.tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, id 0 included."""
        return len(self.tokens) + 1

    @functools.cached_property
    def spelling(self) -> TokenSpelling:
        """What a piece is read as before it is looked up."""
        return TokenSpelling(self.missing, self.integers)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the vocabulary (see `Schema.check_fitted`)."""
        return vocabulary_fingerprint(self.tokens)

    @functools.cached_property
    def _lookup(self) -> TokenLookup:
        return TokenLookup(self.tokens)

    def encode(self, values: Any) -> Encoded:
        """The padded ids, and how many of the kept tokens are out-of-vocabulary."""
        lengths, flat = self._pieces(values)
        ids = self.spelling.ids(self._lookup, flat)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        array = np.zeros((len(lengths), self.length), "int32")
        array[rows, positions] = ids
        return Encoded(array, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def unknown(self, values: Any) -> pl.Series:
        """The kept tokens that are out of the vocabulary, as they stand in the raw column, each once."""
        _, flat = self._pieces(values)
        return flat.filter(pl.Series(self.spelling.ids(self._lookup, flat) == 0)).unique(maintain_order=True)

    def _pieces(self, values: Any) -> tuple[np.ndarray, pl.Series]:
        """How many tokens of each row are kept, and these one after the other."""
        pieces = split_tokens(as_strings(self.raw, values), self.separator, self.spelling).list.head(self.length)
        lengths = pieces.list.len().to_numpy().astype("int64")
        return lengths, pieces.filter(pieces.list.len() > 0).explode()  # exploding an empty list would give a null

    def __call__(self, values: Any) -> np.ndarray:
        """The ids as int32, of shape (rows, length)."""
        return self.encode(values).array
