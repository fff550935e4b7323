"""The fitted transform of a column with several tokens per row."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import polars as pl

from .raw_values import Encoded, as_strings
from .token_lookup import TokenLookup


def split_tokens(strings: pl.Series, separator: str) -> pl.Series:
    """Lists of the pieces that are not empty."""
    return strings.str.split(separator).list.eval(pl.element().filter(pl.element() != ""))


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceTransform:
    """Split a string into tokens, map them to ids and pad with 0.

    Empty pieces are dropped, then the first `length` tokens are kept; an unknown token keeps its place
    with id 0.

    Args:
        raw: name of the raw column.
        tokens: the vocabulary; `tokens[i]` has id `i + 1` (object array of `str`).
        separator: what stands between tokens.
        length: number of ids per row.

    Example:
    >>> transform = SequenceTransform("tag", np.array(["7", "62"], dtype=object), ",", length=3)
    >>> transform(["62,7", "", "9,,62"]).tolist()
    [[2, 1, 0], [0, 0, 0], [0, 2, 0]]
    """

    raw: str
    tokens: np.ndarray
    separator: str
    length: int

    kind: ClassVar[str] = "sequence"
    dtype: ClassVar[str] = "string"

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, id 0 included."""
        return len(self.tokens) + 1

    @functools.cached_property
    def _lookup(self) -> TokenLookup:
        return TokenLookup(self.tokens)

    def encode(self, values: Any) -> Encoded:
        """The padded ids, and how many of the kept tokens are out-of-vocabulary."""
        pieces = split_tokens(as_strings(self.raw, values), self.separator).list.head(self.length)
        lengths = pieces.list.len().to_numpy().astype("int64")
        flat = pieces.filter(pieces.list.len() > 0).explode()  # exploding an empty list would give a null
        ids = self._lookup.ids(flat)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        array = np.zeros((len(lengths), self.length), "int32")
        array[rows, positions] = ids
        return Encoded(array, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def __call__(self, values: Any) -> np.ndarray:
        """The ids as int32, of shape (rows, length)."""
        return self.encode(values).array
