"""Counts of the distinct tokens of a stream."""

import numpy as np
import polars as pl

from .token_spelling import INTEGER, TokenSpelling

# Merging costs the size of what is already counted, so it waits until as much is new, and at least this much.
_MERGE_ROWS = 200_000
# A shorter string lies in its view, without a text elsewhere.
_BYTES_IN_A_VIEW = 12
# A vocabulary file cannot hold an empty line for TensorFlow's reader; this one stands in its place. As a value it is
# out of every vocabulary.
NO_TOKEN = "\x1f<empty>\x1f"


class TokenCounts:
    """Count the distinct values of a stream of chunks; memory grows with the values, not with the rows.

    Example:
    >>> counts = TokenCounts()
    >>> counts.update(pl.Series(["b", "a", "b", "c"]))
    >>> counts.tokens(min_count=1, max_size=2).tolist()
    ['b', 'a']
    """

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._pending = 0

    @classmethod
    def of(cls, values: pl.Series) -> "TokenCounts":
        """The counts of a chunk of tokens (String or Int64, without nulls), for `add`."""
        counts = cls()
        counts._frames = [own_text(values.alias("token").value_counts(name="count").cast({"count": pl.Int64}))]
        counts._pending = len(counts._frames[0])
        return counts

    def update(self, values: pl.Series) -> None:
        """Add a chunk of tokens."""
        self.add(self.of(values))

    def add(self, counts: "TokenCounts") -> None:
        """Add the counts of a chunk."""
        self._frames += counts._frames
        self._pending += sum(map(len, counts._frames))
        if self._frames and self._pending > max(_MERGE_ROWS, len(self._frames[0])):
            self._merge()

    def _merge(self) -> None:
        if len(self._frames) > 1:
            self._frames = [own_text(pl.concat(self._frames).group_by("token").agg(pl.col("count").sum()))]
        self._pending = 0

    def are_integers(self) -> bool:
        """Whether all strings but `""` are integers, such as `84` or `84.0`.

        Example:
        >>> counts = TokenCounts()
        >>> counts.update(pl.Series(["84.0", "", "7"]))
        >>> counts.are_integers()
        True
        """
        if not self._frames:
            return False
        self._merge()
        tokens = self._frames[0]["token"]
        if tokens.dtype != pl.String:
            return False
        present = tokens.filter(tokens != "")
        return bool(len(present)) and bool(present.str.contains(INTEGER).all())

    def frame(self, spelling: TokenSpelling | None = None) -> pl.DataFrame:
        """Each token once, in no certain order, as the columns `token` and `count`.

        Args:
            spelling: what tokens are read as before their counts are added up, or `None`.
        """
        if not self._frames:
            return pl.DataFrame(schema={"token": pl.String, "count": pl.Int64})
        self._merge()
        frame = self._frames[0]
        if spelling and frame.schema["token"] == pl.String:
            spelled = spelling(frame["token"])
            if not spelled.equals(frame["token"]):
                frame = frame.with_columns(spelled).group_by("token").agg(pl.col("count").sum())
        return frame

    def tokens(self, min_count: int, max_size: int | None, spelling: TokenSpelling | None = None) -> np.ndarray:
        """Tokens seen at least `min_count` times, by count descending, then by token.

        Tokens with a line break are left out: a vocabulary file has one token per line (see `storable`).

        Args:
            min_count: times that a token must have been seen.
            max_size: most tokens returned, or `None` for all.
            spelling: what tokens are read as before their counts are added up, or `None`.
        """
        if not self._frames:
            return np.empty(0, dtype=object)
        frame = self.frame(spelling).filter(pl.col("count") >= min_count)
        frame = storable(frame)
        frame = frame.sort("count", "token", descending=[True, False])
        tokens = frame["token"] if max_size is None else frame["token"].head(max_size)
        return np.array(tokens.to_list(), dtype=object) if tokens.dtype == pl.String else tokens.to_numpy()


def storable(counts: pl.DataFrame) -> pl.DataFrame:
    """The counts without tokens that a vocabulary file cannot hold: it has one per line, and a line for `""`."""
    if counts.schema["token"] != pl.String:
        return counts
    return counts.filter(~pl.col("token").str.contains("[\r\n]") & (pl.col("token") != NO_TOKEN))


def own_text(counts: pl.DataFrame) -> pl.DataFrame:
    """The counts with copies of their tokens: polars' longer strings are views that keep a chunk's whole text alive."""
    tokens = counts["token"]
    if tokens.dtype != pl.String or (tokens.str.len_bytes() <= _BYTES_IN_A_VIEW).all():
        return counts
    return counts.with_columns(pl.concat_str("token", pl.lit("")))
