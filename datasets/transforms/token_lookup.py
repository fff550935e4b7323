"""From tokens to ids, a whole column at a time."""

import numpy as np
import polars as pl


class TokenLookup:
    """Map tokens to ids: `tokens[i]` has id `i + 1`, anything else id 0.

    Strings are found in the hash table of a polars `Enum` that is built once, integers by a binary search.

    Args:
        tokens: distinct tokens, strings (an object array) or integers.

    Raises:
        ValueError: if a token is repeated.

    Example:
    >>> TokenLookup(np.array(["ad", "web"], dtype=object)).ids(pl.Series(["web", "x", "ad"])).tolist()
    [2, 0, 1]
    """

    def __init__(self, tokens: np.ndarray) -> None:
        strings = tokens.dtype.kind == "O"
        series = pl.Series(tokens.tolist(), dtype=pl.String if strings else pl.Int64)
        if series.n_unique() != len(series):
            repeated = series.filter(series.is_duplicated())[0]
            raise ValueError(f"A vocabulary's tokens must be distinct. Received {repeated!r} more than once.")
        self._ids: pl.Expr | None = None
        if strings:
            # An expression keeps the Enum's table; Series.cast would translate every category again at each call.
            codes = pl.first().cast(pl.Enum(series), strict=False).to_physical()
            self._ids = (codes.cast(pl.Int32) + 1).fill_null(0)
            return
        self._order = np.argsort(series.to_numpy())
        self._sorted = series.to_numpy()[self._order]

    def ids(self, values: pl.Series) -> np.ndarray:
        """The int32 ids of a String or Int64 series without nulls."""
        if self._ids is not None:
            return values.to_frame().select(self._ids).to_series().to_numpy(writable=True)
        if not len(self._sorted):
            return np.zeros(len(values), "int32")
        keys = values.to_numpy()
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at] + 1, 0).astype("int32")
