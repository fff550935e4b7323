"""Counts of tokens that lie on disk."""

import io
import itertools
import os
import tempfile
import weakref

import numpy as np
import polars as pl

# How many groups the tokens are in. One group at a time is in memory.
GROUPS = 64
# What an integer loses that is written as a number with decimals.
DECIMALS = r"\.0+$"


class TokenRun:
    """Counts of distinct tokens in a temporary file, group by group; the file goes with the last reference to it.

    It lies where Python puts temporary files. Set the environment variable `TMPDIR` if that is small or
    is memory.

    Args:
        counts: the columns `token` and `count`.

    Example:
    >>> run = TokenRun(pl.DataFrame({"token": ["a", "b", "a.0"], "count": [1, 2, 3]}))
    >>> sum(run.group(number)["count"].sum() for number in range(GROUPS))
    6
    """

    def __init__(self, counts: pl.DataFrame) -> None:
        grouped = counts.with_columns(group=group_of(counts, GROUPS)).sort("group")
        bounds = np.searchsorted(grouped["group"].to_numpy(), np.arange(GROUPS + 1)).tolist()
        grouped = grouped.drop("group")
        self._places = [0]
        handle, self._path = tempfile.mkstemp(prefix="grouprank-tokens-")
        self._finalizer = weakref.finalize(self, os.unlink, self._path)
        with os.fdopen(handle, "wb") as file:
            for start, stop in itertools.pairwise(bounds):
                buffer = io.BytesIO()
                grouped[start:stop].write_ipc(buffer)
                file.write(buffer.getbuffer())
                self._places.append(file.tell())

    def group(self, number: int) -> pl.DataFrame:
        """The tokens of a group."""
        start, stop = self._places[number : number + 2]
        with open(self._path, "rb") as file:
            file.seek(start)
            return pl.read_ipc(io.BytesIO(file.read(stop - start)))


def group_of(counts: pl.DataFrame, groups: int, seed: int = 0) -> pl.Series:
    """The group of each token. Those that may be spellings of one number, such as `84` and `84.0`, are in one group.

    Args:
        counts: the column `token`.
        groups: how many groups there are, at most 256.
        seed: with another one, the tokens of a group are in all groups.
    """
    token = pl.col("token")
    if counts.schema["token"] == pl.String:
        token = token.str.replace(DECIMALS, "")
    return counts.select((token.hash(seed) % groups).cast(pl.UInt8)).to_series()
