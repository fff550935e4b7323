"""Lists as strings, cut out of one long string."""

import numpy as np
import polars as pl

# How many binary digits of a float64 stand behind its exponent, and the exponent of 1.
_FRACTION_BITS, _BIAS = 52, 1023
_MICROSECONDS = 1e6
# No age reaches so many seconds as powers of two; what is as old as the beginning of time has an unknown age.
_OLDEST = 40
UNKNOWN_AGE = "--"


def joined_slices(texts: pl.Series, first: np.ndarray, stop: np.ndarray, separator: str) -> pl.Series:
    """The items from `first` to `stop` of each row, joined.

    All items are joined once, and each row is a part of that string. This takes a tenth of the time of joining lists.

    Args:
        texts: the items.
        first: place of the first item of each row.
        stop: place after its last one.
        separator: what stands between items.

    Example:
    >>> joined_slices(pl.Series(["a", "bc", "d"]), np.array([0, 1, 2]), np.array([2, 3, 2]), ",").to_list()
    ['a,bc', 'bc,d', '']
    """
    gap = len(separator.encode())
    starts = np.concatenate([[0], np.cumsum(texts.str.len_bytes().to_numpy().astype("int64") + gap)])
    return _cut(
        texts.str.join(separator).cast(pl.Binary),
        starts[first],
        np.where(stop > first, starts[stop] - starts[first] - gap, 0),
    )


def joined_ages(now: np.ndarray, time: np.ndarray, counts: np.ndarray, separator: str) -> pl.Series:
    """The ages of each row's events, joined, each as two digits: the largest k with 2^k seconds not above the age.

    Args:
        now: microseconds of each row.
        time: microseconds of the events of each row, one row after the other.
        counts: how many events each row has.
        separator: what stands between ages.

    Example:
    >>> joined_ages(np.array([9_000_000]), np.array([0, 1_000_000, 2_000_000]), np.array([3]), ",").to_list()
    ['03,03,02']
    """
    seconds = np.maximum((np.repeat(now, counts) - time) / _MICROSECONDS, 1.0)
    powers = np.minimum((seconds.view("int64") >> _FRACTION_BITS) - _BIAS, _OLDEST)
    texts = [f"{power:02d}" for power in range(_OLDEST)] + [UNKNOWN_AGE]
    table = np.array([text.encode() + separator.encode() for text in texts])
    width = table.itemsize
    ends = np.cumsum(counts)
    whole = pl.Series([table[powers].tobytes()])
    return _cut(whole, (ends - counts) * width, np.maximum(counts * width - len(separator.encode()), 0))


def _cut(whole: pl.Series, start: np.ndarray, length: np.ndarray) -> pl.Series:
    """Parts of the one value of a Binary series, which all rows refer to."""
    frame = pl.DataFrame({"start": start, "length": length})
    return frame.select(pl.lit(whole).bin.slice(pl.col("start"), pl.col("length")).cast(pl.String)).to_series()
