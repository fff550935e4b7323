"""Users by hash, the same on every machine."""

import hashlib

import numpy as np
import polars as pl


def user_buckets(users: pl.Series, buckets: int) -> np.ndarray:
    """The bucket of each row's user, int32 in `[0, buckets)`.

    Rows of one user are no independent evidence, so intervals are made of users.
    Sums per bucket of users stand for sums per user, and do not grow with them.

    Args:
        users: integer or string ids; a missing one is a user of its own.
        buckets: number of buckets.

    Example:

    >>> user_buckets(pl.Series([7, 8, 7]), 100).tolist()
    [87, 22, 87]
    """
    if users.dtype.is_integer():
        return (mixed_bits(users.cast(pl.Int64).fill_null(-1).to_numpy().view("uint64")) % np.uint64(buckets)).astype(
            "int32"
        )
    texts = users.cast(pl.String).fill_null("")
    known = texts.unique()
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in known]
    places = [int.from_bytes(digest, "little") % buckets for digest in digests]
    return texts.replace_strict(known, pl.Series(places, dtype=pl.Int32)).to_numpy()


def mixed_bits(values: np.ndarray) -> np.ndarray:
    """Bits of 64-bit integers mixed, so that neighbouring ids are no neighbours: splitmix64, Steele et al. 2014.

    Args:
        values: unsigned 64-bit integers.

    Example:

    >>> mixed_bits(np.arange(2, dtype="uint64")).tolist()
    [16294208416658607535, 10451216379200822465]
    """
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
