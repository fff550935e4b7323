"""From tokens to ids, a whole column at a time."""

import numpy as np
import polars as pl


class TokenLookup:
    """Map tokens to ids: `tokens[i]` has id `i + 1`, anything else id 0.

    Strings are found by a binary search over their 64-bit hashes and then compared, so the cost does not
    depend on rebuilding a hash table per chunk and a collision cannot give a wrong id.

    Args:
        tokens: distinct tokens, strings (an object array) or integers.

    Raises:
        ValueError: if a token is repeated.

    Example:
    >>> TokenLookup(np.array(["ad", "web"], dtype=object)).ids(pl.Series(["web", "x", "ad"])).tolist()
    [2, 0, 1]
    """

    def __init__(self, tokens: np.ndarray) -> None:
        self._tokens = pl.Series(tokens.tolist(), dtype=pl.String if tokens.dtype.kind == "O" else pl.Int64)
        self._seed = 0
        if self._tokens.n_unique() != len(self._tokens):
            repeated = self._tokens.filter(self._tokens.is_duplicated())[0]
            raise ValueError(f"A vocabulary's tokens must be distinct. Received {repeated!r} more than once.")
        keys = self._keys(self._tokens)
        while len(np.unique(keys)) != len(keys):  # two tokens with one hash: practically never, yet then an id is lost
            self._seed += 1
            keys = self._keys(self._tokens)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def _keys(self, values: pl.Series) -> np.ndarray:
        hashed = values.hash(seed=self._seed) if values.dtype == pl.String else values
        return hashed.to_numpy()

    def ids(self, values: pl.Series) -> np.ndarray:
        """The int32 ids of a String or Int64 series without nulls."""
        if not len(self._sorted):
            return np.zeros(len(values), "int32")
        keys = self._keys(values)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        found = self._sorted[at] == keys
        index = self._order[at]
        if values.dtype == pl.String:
            found &= (self._tokens.gather(index) == values).to_numpy()
        return np.where(found, index + 1, 0).astype("int32")
