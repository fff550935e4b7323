"""Columns whose tokens are unknown far more often than they were in training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .raw_values import Encoded

# A share of fewer tokens means little.
LEAST_TOKENS = 20
# One new user with many ads does not mean that a column changed; many different unknown tokens or very many rows do.
LEAST_DISTINCT, MANY_TOKENS = 3, 1000


@dataclasses.dataclass(frozen=True)
class UnknownTokens:
    """A column of which less than half as many tokens are known as in training.

    Args:
        feature: name of the feature.
        raw: name of its raw column.
        share: share of the rows' tokens that are out of the vocabulary.
        training_share: the training rows'.
        tokens: number of tokens looked at.
        example: one that is unknown, as it stands in the raw column.

    Example:
    >>> print(UnknownTokens("os", "os", 1.0, 0.015, 200, "Android"))
    Raw column 'os': 100.0 % of 200 tokens are out of the vocabulary of 'os'; in training it was 1.5 %. ...
    """

    feature: str
    raw: str
    share: float
    training_share: float
    tokens: int
    example: Any

    def __str__(self) -> str:
        return (
            f"Raw column {self.raw!r}: {100 * self.share:.1f} % of {self.tokens} tokens are out of the vocabulary of "
            f"{self.feature!r}; in training it was {100 * self.training_share:.1f} %. One unknown token is "
            f"{self.example!r}. "
            "Send the column as it stood in the training file (same spelling, case and type), or train again if it "
            "has changed for good."
        )


class UnknownTokenWatch:
    """Compares the tokens of rows with those of training, each feature until it is told once.

    Calls with few rows are added up until there are enough.

    Args:
        transforms: fitted transforms by feature.
        training_share: share of the training tokens that are out of the vocabulary, by feature; other features
            are not watched.

    Example:
    >>> watch = UnknownTokenWatch({}, {})
    >>> watch.look({}, {})
    []
    """

    def __init__(self, transforms: Mapping[str, Any], training_share: Mapping[str, float]) -> None:
        self._transforms = {name: transforms[name] for name in training_share}
        self._training_share = training_share
        self._pending = {name: (0, 0, frozenset[Any]()) for name in self._transforms}

    def look(self, table: Any, encoded: Mapping[str, Encoded]) -> list[UnknownTokens]:
        """What is to be told of some rows.

        Args:
            table: their raw columns.
            encoded: what the transforms made of them.
        """
        found = []
        for name, (unknown, tokens, seen) in list(self._pending.items()):
            transform, new = self._transforms[name], encoded[name]
            unknown, tokens = unknown + new.replaced, tokens + new.total
            rare = tokens - unknown < (1 - self._training_share[name]) / 2 * tokens
            if new.replaced and (rare or tokens < LEAST_TOKENS):
                seen |= set(transform.unknown(table[transform.raw]).head(LEAST_DISTINCT))
            if tokens < LEAST_TOKENS:
                self._pending[name] = (unknown, tokens, seen)
                continue
            self._pending[name] = (0, 0, frozenset())
            distinct = min(LEAST_DISTINCT, transform.vocabulary_size - 1)
            if rare and (len(seen) >= distinct or tokens >= MANY_TOKENS):
                self._pending.pop(name, None)  # another thread may have told it
                share = self._training_share[name]
                found.append(UnknownTokens(name, transform.raw, unknown / tokens, share, tokens, min(seen)))
        return found
