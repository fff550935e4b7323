"""Spellings that mean missing, as numbers."""

from collections.abc import Sequence

import polars as pl


def missing_numbers(spellings: Sequence[str]) -> tuple[float, ...]:
    """The numbers among some spellings, as a reader of text reads them.

    Example:
    >>> missing_numbers(["NA", "-1", "1e3", "inf"])
    (-1.0, 1000.0)
    """
    numbers = pl.Series(list(spellings), dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls()
    return tuple(numbers.filter(numbers.is_finite()).to_list())


def missing_integers(spellings: Sequence[str]) -> tuple[int, ...]:
    """The integers among some spellings, as a reader of text reads them.

    Example:
    >>> missing_integers(["NA", "-1", "0.5"])
    (-1,)
    """
    return tuple(pl.Series(list(spellings), dtype=pl.String).cast(pl.Int64, strict=False).drop_nulls().to_list())
