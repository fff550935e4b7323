"""The fitted transform of a categorical column."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import polars as pl

from .raw_values import Encoded, as_int64, as_strings
from .token_lookup import TokenLookup


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

    Example:
    >>> transform = VocabularyTransform("os", "string", np.array(["", "android"], dtype=object))
    >>> transform(["android", "windows", None]).tolist()
    [2, 0, 1]
    """

    raw: str
    dtype: str
    tokens: np.ndarray
    divisor: int = 1
    modulo: int | None = None

    kind: ClassVar[str] = "categorical"

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, out-of-vocabulary included."""
        return len(self.tokens) + 1

    @functools.cached_property
    def _lookup(self) -> TokenLookup:
        return TokenLookup(self.tokens)

    def encode(self, values: Any) -> Encoded:
        """The ids, and how many are out-of-vocabulary."""
        if self.dtype == "string":
            tokens = as_strings(self.raw, values)
        else:
            tokens = pl.Series(integer_tokens(as_int64(self.raw, values), self.divisor, self.modulo))
        ids = self._lookup.ids(tokens)
        return Encoded(ids, len(ids) - int(np.count_nonzero(ids)), len(ids))

    def __call__(self, values: Any) -> np.ndarray:
        """The ids as int32."""
        return self.encode(values).array
