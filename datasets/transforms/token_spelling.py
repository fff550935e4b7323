"""One token for each of its spellings."""

import dataclasses

import numpy as np
import polars as pl

from .token_lookup import TokenLookup

# ASCII digits, anchors and groups alone: the regular expressions of polars and of TensorFlow agree on them.
INTEGER = r"^(-?[1-9][0-9]*|0)(\.0+)?$"
INTEGER_WITH_DECIMALS = r"^(-?[1-9][0-9]*|0)\.0+$"


@dataclasses.dataclass(frozen=True)
class TokenSpelling:
    """How the tokens of a column are spelled before they are looked up.

    Spellings that mean missing are the token `""`. In a column whose training tokens are integers, those written
    with decimals lose them: pandas writes `84.0` where the file of another day says `84`. Leading zeros and plus signs
    stay, since they may have a meaning.

    Args:
        missing: spellings that mean missing.
        integers: whether `84.0` is the token `84`.

    Raises:
        ValueError: if `missing` is no tuple of strings.

    Example:
    >>> spelling = TokenSpelling(missing=("NA",), integers=True)
    >>> spelling(pl.Series(["84.0", "84", "084", "8.5", "NA"])).to_list()
    ['84', '84', '084', '8.5', '']
    """

    missing: tuple[str, ...] = ()
    integers: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.missing, tuple) or not all(isinstance(spelled, str) for spelled in self.missing):
            raise ValueError(f"`missing` must be a tuple of strings. Received: missing={self.missing!r}.")

    def expression(self, tokens: pl.Expr) -> pl.Expr:
        """As a call, for a polars expression."""
        if self.integers:
            decimals = tokens.str.contains(INTEGER_WITH_DECIMALS)
            tokens = pl.when(decimals).then(tokens.str.replace(r"\.0+$", "")).otherwise(tokens)
        if self.missing:
            tokens = pl.when(tokens.is_in(self.spelled_missing)).then(pl.lit("")).otherwise(tokens)
        return tokens

    @property
    def spelled_missing(self) -> list[str]:
        """The spellings that mean missing, as they are once decimals are gone."""
        return list(
            dict.fromkeys(TokenSpelling(integers=self.integers)(pl.Series(list(self.missing), dtype=pl.String)))
        )

    def __call__(self, tokens: pl.Series) -> pl.Series:
        """The tokens of a String series without nulls, each in its one spelling."""
        if not (self.missing or self.integers):
            return tokens
        return tokens.to_frame("token").select(self.expression(pl.col("token"))).to_series().alias(tokens.name)

    def ids(self, lookup: TokenLookup, tokens: pl.Series) -> np.ndarray:
        """The ids of tokens in any spelling; those of a vocabulary are in their one spelling already."""
        ids = lookup.ids(tokens)
        if self.missing or self.integers:
            unknown = ids == 0
            if unknown.any():
                # Each once: a column of codes with decimals is rewritten in every row, and has few of them.
                others = tokens.filter(pl.Series(unknown))
                distinct = others.unique()
                codes = others.cast(pl.Enum(distinct)).to_physical().to_numpy()
                ids[unknown] = lookup.ids(self(distinct))[codes]
        return ids

    def check(self, raw: str, tokens: np.ndarray) -> None:
        """Raise if a vocabulary holds a token that is not in its one spelling."""
        if not (self.missing or self.integers):
            return
        series = pl.Series(tokens.tolist(), dtype=pl.String)
        other = series.filter(self(series) != series)
        if len(other):
            raise ValueError(
                f"Raw column {raw!r}: its vocabulary holds {other[0]!r}, which {self} reads as {self(other)[0]!r}. "
                "Leave it out of the vocabulary."
            )
