"""Scores of a task by decile, and the labels that have arrived."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from ..statistics import Estimate, ratio_estimate
from .column_profile import ColumnProfile

# Users are dealt to so many buckets, of which intervals are made.
BUCKETS = 64


@dataclasses.dataclass
class ScoreProfile:
    """A histogram of scores in the deciles of the reference, with sums over the labelled rows. Made by `LogProfile`.

    Args:
        histogram: bins and counts of all scores.
        sums: number of labelled rows, sum of their scores and sum of their labels, by bin and bucket of users, of shape
            `(3, bins, buckets)`. Defaults to zeros.

    Example:

    >>> scores = ScoreProfile(ColumnProfile.fit(pl.Series([0.1, 0.3])))
    >>> scores.add(pl.Series([0.1, 0.3]), pl.Series([0.0, None]), np.array([0, 1]))
    >>> scores.histogram.counts.sum(), scores.sums.sum(axis=(1, 2)).tolist()
    (np.int64(2), [1.0, 0.1, 0.0])
    """

    histogram: ColumnProfile
    sums: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        shape = (3, len(self.histogram.counts), BUCKETS)
        self.sums = np.asarray(self.sums, np.float64).reshape(shape) if len(self.sums) else np.zeros(shape)

    def add(self, scores: pl.Series, labels: pl.Series | None, buckets: np.ndarray) -> None:
        """Count scores, and add up those whose labels are there.

        Args:
            scores: a probability for each row.
            labels: 0 or 1, null or NaN where unknown; or `None`.
            buckets: of the users of the rows.
        """
        self.histogram.add(scores)
        if labels is None:
            return
        p, y = (side.cast(pl.Float64).fill_null(float("nan")).to_numpy() for side in (scores, labels))
        there = np.isfinite(p) & np.isfinite(y)
        place = self.histogram.place(scores)[there] * BUCKETS + buckets[there]
        for sums, weights in zip(self.sums, (None, p[there], y[there]), strict=True):
            sums += np.bincount(place, weights, minlength=sums.size).reshape(sums.shape)

    def calibration(self, number: int | None = None) -> Estimate | None:
        """Σ scores / Σ labels of a bin, or of all; `None` where no positive label has arrived."""
        _, predicted, observed = self.sums.sum(axis=1) if number is None else self.sums[:, number]
        return ratio_estimate(predicted, observed, [predicted.sum()], [observed.sum()])

    def empty(self) -> "ScoreProfile":
        """The same bins without counts."""
        return ScoreProfile(self.histogram.empty())

    def merge(self, other: "ScoreProfile") -> None:
        """Add the counts of another profile of the same bins."""
        self.histogram.merge(other.histogram)
        self.sums = self.sums + other.sums

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {"histogram": self.histogram.to_dict(), "sums": self.sums.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ScoreProfile":
        """What `to_dict` gave."""
        return cls(ColumnProfile.from_dict(plain["histogram"]), plain["sums"])
