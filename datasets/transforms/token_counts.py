"""Counts of the distinct tokens of a stream."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from .token_run import DECIMALS, GROUPS, TokenRun, group_of
from .token_spelling import INTEGER, TokenSpelling

# Merging costs the size of what is already counted, so it waits until as much is new, and at least this much.
_MERGE_ROWS = 200_000
# More distinct tokens of a feature than these are held on disk.
_MOST_TOKENS = 2_000_000
# In how many pieces an engine adds up the tokens of a feature, and about how many tokens it sends at once.
PIECES = 32
_SENT_TOKENS = 500_000
# A shorter string lies in its view, without a text elsewhere.
_BYTES_IN_A_VIEW = 12
# A vocabulary file cannot hold an empty line for TensorFlow's reader; this one stands in its place. As a value it is
# out of every vocabulary.
NO_TOKEN = "\x1f<empty>\x1f"


class TokenCounts:
    """Count the distinct values of a stream of chunks.

    Memory grows neither with the rows nor with the values: beyond two million distinct values they go to disk, and are
    added up group by group in the end. How many are on disk does not change the counts.

    Example:
    >>> counts = TokenCounts()
    >>> counts.update(pl.Series(["b", "a", "b", "c"]))
    >>> counts.tokens(min_count=1, max_size=2).tolist()
    ['b', 'a']
    """

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._pending = 0
        self._runs: list[TokenRun] = []
        # Whether tokens that were dropped for being rare are integers: none, True, False or both.
        self._dropped: frozenset[bool] = frozenset()

    @classmethod
    def of(cls, values: pl.Series) -> "TokenCounts":
        """The counts of a chunk of tokens (String or Int64, without nulls), for `add`."""
        return cls._of_frame(own_text(values.alias("token").value_counts(name="count").cast({"count": pl.Int64})))

    @classmethod
    def _of_frame(cls, frame: pl.DataFrame) -> "TokenCounts":
        counts = cls()
        counts._frames, counts._pending = [frame], len(frame)
        return counts

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_frames": [*self._frames, *self._on_disk()], "_runs": []}

    def update(self, values: pl.Series) -> None:
        """Add a chunk of tokens."""
        self.add(self.of(values))

    def add(self, counts: "TokenCounts") -> None:
        """Add the counts of a chunk."""
        self._frames += counts._frames
        self._runs += counts._runs
        self._dropped |= counts._dropped
        self._pending += sum(map(len, counts._frames))
        if self._frames and self._pending > max(_MERGE_ROWS, len(self._frames[0])):
            self._merge()
            if self._frames and len(self._frames[0]) > _MOST_TOKENS:
                self._spill()

    def _merge(self) -> None:
        if len(self._frames) > 1:
            self._frames = [_added_up(self._frames)]
        self._pending = 0

    def _spill(self) -> None:
        self._runs += map(TokenRun, self._frames)
        self._frames = []

    def _on_disk(self) -> Iterator[pl.DataFrame]:
        for run in self._runs:
            yield from map(run.group, range(GROUPS))

    def _merged(self) -> Iterator[pl.DataFrame]:
        """Each token once, in frames that fit into memory: all in one, or one for each group of tokens on disk."""
        self._merge()
        if self._runs:
            self._spill()
            for group in range(GROUPS):
                yield _added_up([run.group(group) for run in self._runs])
        else:
            yield from self._frames

    def pieces(self) -> Iterator[tuple[int, "TokenCounts"]]:
        """Parts to be sent, each with the number of the piece, one of `PIECES`, with which it is to be added up.

        Spellings of one number are in one piece. Only the tokens that are sent at once are in memory.
        """
        held: list[pl.DataFrame] = []
        if self._dropped:
            nothing = TokenCounts()
            nothing._dropped = self._dropped
            yield 0, nothing
        for frame in self._merged():
            held.append(frame)
            if sum(map(len, held)) >= _SENT_TOKENS:
                yield from self._cut(held)
                held = []
        yield from self._cut(held)

    def _cut(self, frames: list[pl.DataFrame]) -> Iterator[tuple[int, "TokenCounts"]]:
        if any(map(len, frames)):
            whole = pl.concat(frames)
            whole = whole.with_columns(piece=group_of(whole, PIECES, seed=1))
            for (piece,), frame in whole.partition_by("piece", as_dict=True, include_key=False).items():
                yield int(piece), TokenCounts._of_frame(own_text(frame))

    def thinned(self, min_count: int, missing: Sequence[str] = ()) -> "TokenCounts":
        """The counts without the tokens that are too rare in any spelling, once all rows are counted.

        `are_integers` and `tokens` answer as before.

        Args:
            min_count: times that a token must have been seen.
            missing: spellings that mean missing. Defaults to `()`.
        """
        counts = TokenCounts()
        counts._dropped = self._dropped
        for frame in self._merged():
            token = pl.col("token")
            if frame.schema["token"] == pl.String:
                spelled = TokenSpelling(tuple(missing), integers=True)
                always = token.is_in(["", *missing]) | spelled.expression(token).eq("")
                frame = frame.with_columns(number=token.str.replace(DECIMALS, ""))
                kept = always | (pl.col("count").sum().over("number") >= min_count)
                frame = frame.with_columns(kept=kept).drop("number")
                counts._dropped |= _kinds_of(frame.filter(~pl.col("kept"))["token"])
            else:
                frame = frame.with_columns(kept=pl.col("count") >= min_count)
            counts.add(TokenCounts._of_frame(own_text(frame.filter("kept").drop("kept"))))
        return counts

    def are_integers(self) -> bool:
        """Whether all strings but `""` are integers, such as `84` or `84.0`.

        Example:
        >>> counts = TokenCounts()
        >>> counts.update(pl.Series(["84.0", "", "7"]))
        >>> counts.are_integers()
        True
        """
        self._merge()
        kinds = self._dropped
        for frame in itertools.chain(self._frames, self._on_disk()):
            if frame.schema["token"] != pl.String:
                return False
            kinds |= _kinds_of(frame["token"])
        return kinds == {True}

    def frame(self, spelling: TokenSpelling | None = None, min_count: int = 1) -> pl.DataFrame:
        """Each token once, in no certain order, as the columns `token` and `count`.

        Args:
            spelling: what tokens are read as before their counts are added up, or `None`.
            min_count: times that a token must have been seen. Defaults to 1.
        """
        frames = []
        for frame in self._merged():
            text = frame.schema["token"] == pl.String
            if spelling and text:
                spelled = spelling(frame["token"])
                if not spelled.equals(frame["token"]):
                    frame = _added_up([frame.with_columns(spelled)])
            # Spellings that mean missing are in several groups, and all become "".
            enough = pl.col("count") >= min_count
            frames.append(own_text(frame.filter(enough | (pl.col("token") == "") if text else enough)))
        if not frames:
            return pl.DataFrame(schema={"token": pl.String, "count": pl.Int64})
        whole = pl.concat(frames)
        if whole.schema["token"] == pl.String:
            empty = pl.col("token") == ""
            missing = _added_up([whole.filter(empty)]).filter(pl.col("count") >= min_count)
            whole = pl.concat([whole.filter(~empty), missing])
        return whole

    def tokens(self, min_count: int, max_size: int | None, spelling: TokenSpelling | None = None) -> np.ndarray:
        """Tokens seen at least `min_count` times, by count descending, then by token.

        Tokens with a line break are left out: a vocabulary file has one token per line (see `storable`).

        Args:
            min_count: times that a token must have been seen.
            max_size: most tokens returned, or `None` for all.
            spelling: what tokens are read as before their counts are added up, or `None`.
        """
        if not self._frames and not self._runs:
            return np.empty(0, dtype=object)
        frame = storable(self.frame(spelling, min_count))
        frame = frame.sort("count", "token", descending=[True, False])
        tokens = frame["token"] if max_size is None else frame["token"].head(max_size)
        return np.array(tokens.to_list(), dtype=object) if tokens.dtype == pl.String else tokens.to_numpy()


def _kinds_of(tokens: pl.Series) -> frozenset[bool]:
    """Whether strings, but for `""`, are integers: none, True, False or both."""
    return frozenset(tokens.filter(tokens != "").str.contains(INTEGER).unique().to_list())


def _added_up(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return own_text(pl.concat(frames).group_by("token").agg(pl.col("count").sum()))


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
