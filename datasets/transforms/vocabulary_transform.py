"""The fitted transform of a categorical column."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import polars as pl

from .raw_values import Encoded, as_int64, as_strings
from .token_lookup import TokenLookup
from .token_spelling import TokenSpelling
from .vocabulary_fingerprint import vocabulary_fingerprint


def integer_tokens(values: np.ndarray, divisor: int, modulo: int | None) -> np.ndarray:
    """`(value // divisor) % modulo` with floor semantics."""
    values = values // divisor if divisor != 1 else values
    return values if modulo is None else values % modulo


@dataclasses.dataclass(frozen=True, eq=False)
class VocabularyTransform:
    """Map a token to its id; id 0 is out-of-vocabulary.

    Args:
        raw: name of the raw column.
        dtype: `"string"` or `"int64"`, what the raw column holds.
        tokens: the vocabulary; `tokens[i]` has id `i + 1`. Object array of `str`, or int64.
        divisor: floor divisor of integers before the lookup.
        modulo: modulus after the division, or `None`.
        missing: raw values that mean missing: strings that are read as `""`, or integers that are out of the
            vocabulary.
        integers: whether strings such as `"84.0"` are the token `"84"` (see `TokenSpelling`).

    Raises:
        ValueError: if a token is repeated, or is not as `missing` and `integers` would have it.

    Example:
    >>> transform = VocabularyTransform("os", "string", np.array(["", "android"], dtype=object), missing=("NA",))
    >>> transform(["android", "windows", None, "NA"]).tolist()
    [2, 0, 1, 1]
    """

    raw: str
    dtype: str
    tokens: np.ndarray
    divisor: int = 1
    modulo: int | None = None
    missing: tuple[str, ...] | tuple[int, ...] = ()
    integers: bool = False

    kind: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        self.spelling.check(self.raw, self.tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, out-of-vocabulary included."""
        return len(self.tokens) + 1

    @functools.cached_property
    def spelling(self) -> TokenSpelling:
        """What a string is read as before it is looked up."""
        spelled = tuple(value for value in self.missing if isinstance(value, str))
        return TokenSpelling(spelled, self.integers) if self.dtype == "string" else TokenSpelling()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the vocabulary (see `Schema.check_fitted`)."""
        return vocabulary_fingerprint(self.tokens)

    @functools.cached_property
    def _lookup(self) -> TokenLookup:
        return TokenLookup(self.tokens)

    def encode(self, values: Any) -> Encoded:
        """The ids, and how many are out-of-vocabulary."""
        ids = self._ids(self._raw_tokens(values))
        return Encoded(ids, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def unknown(self, values: Any) -> pl.Series:
        """The tokens that are out of the vocabulary, as they stand in the raw column, each once."""
        tokens = self._raw_tokens(values)
        return tokens.filter(pl.Series(self._ids(tokens) == 0)).unique(maintain_order=True)

    def _raw_tokens(self, values: Any) -> pl.Series:
        return as_strings(self.raw, values) if self.dtype == "string" else pl.Series(as_int64(self.raw, values))

    def _ids(self, raw: pl.Series) -> np.ndarray:
        if self.dtype == "string":
            return self.spelling.ids(self._lookup, raw)
        integers = raw.to_numpy()
        ids = self._lookup.ids(pl.Series(integer_tokens(integers, self.divisor, self.modulo)))
        return np.where(np.isin(integers, self.missing), np.int32(0), ids) if self.missing else ids

    def __call__(self, values: Any) -> np.ndarray:
        """The ids as int32."""
        return self.encode(values).array
