"""How much worse cells are, as ratios of sums over users and seeds."""

import dataclasses

import numpy as np

from ..statistics import Estimate, ratio_estimate
from .expected_entropy import ExpectedEntropy
from .half import Half

REGRESSION, EXCESS = "regression", "excess"
OBJECTIVES = (REGRESSION, EXCESS)


@dataclasses.dataclass(frozen=True)
class CellSums:
    """What the rows of each cell add up to.

    Args:
        rows: `(cells,)`.
        weight: `(cells, buckets)`: of rows.
        labels: the same, of weighted labels.
        losses: `(2, cells, buckets)`: cross-entropies of baseline and candidate, mean over seeds.
        seed_losses: `(2, cells, seeds)`: the same of all users by seed; no seeds where not asked for.
    """

    rows: np.ndarray
    weight: np.ndarray
    labels: np.ndarray
    losses: np.ndarray
    seed_losses: np.ndarray

    @classmethod
    def of(cls, half: Half, codes: np.ndarray, cells: int, seeds: bool = False) -> "CellSums":
        """Add up the rows of every cell; `codes` below 0 belong to none."""
        places = (codes + 1) * half.buckets + half.bucket

        def by_bucket(values: np.ndarray) -> np.ndarray:
            sums = np.bincount(places, values, minlength=(cells + 1) * half.buckets)
            return sums.reshape(cells + 1, half.buckets)[1:]

        def by_cell(values: np.ndarray) -> np.ndarray:
            return np.bincount(codes + 1, values, minlength=cells + 1)[1:]

        seed_losses = np.zeros((2, cells, 0))
        if seeds:
            by_seed = [[by_cell(half.weight * loss) for loss in losses] for losses in half.losses]
            seed_losses = np.array(by_seed).swapaxes(1, 2)
        return cls(
            rows=np.bincount(codes + 1, minlength=cells + 1)[1:],
            weight=by_bucket(half.weight),
            labels=by_bucket(half.weighted_labels),
            losses=np.array([by_bucket(loss) for loss in half.weighted_losses]),
            seed_losses=seed_losses,
        )

    def only(self, chosen: np.ndarray) -> "CellSums":
        """Some of the cells."""
        return CellSums(
            self.rows[chosen],
            self.weight[chosen],
            self.labels[chosen],
            self.losses[:, chosen],
            self.seed_losses[:, chosen],
        )

    def supported(self, min_rows: int, min_positives: float, min_users: int) -> np.ndarray:
        """Which cells have enough rows, positives, negatives and buckets of users."""
        positives, weight = self.labels.sum(axis=1), self.weight.sum(axis=1)
        both = np.minimum(positives, weight - positives) >= max(min_positives, 1e-9)
        return both & (self.rows >= min_rows) & (np.count_nonzero(self.weight, axis=1) >= min_users)


@dataclasses.dataclass(frozen=True)
class Ratios:
    """Two sums per cell, whose ratio says how much worse it is; sums of cells add up to those of their union.

    Args:
        numerator: `(cells, buckets)`.
        denominator: the same.
        seed_numerator: `(cells, seeds)`; no seeds where only buckets were asked for.
        seed_denominator: the same.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    seed_numerator: np.ndarray
    seed_denominator: np.ndarray

    @classmethod
    def of(cls, sums: CellSums, objective: str) -> "Ratios":
        """The ratios of an objective.

        `"regression"`: (CE of the candidate - CE of the baseline) / CE of the baseline.
        `"excess"`: (CE of the candidate - expected CE) / entropy of the cell's own rate, which is the cell's
        NE less the NE expected of it (`ExpectedEntropy`). That a cell's rate is estimated does not move the sums
        in first order, since the rate is where their derivative is 0; that the expectation is fitted to the same
        rows does, and is taken out of every bucket in proportion.
        """
        if objective == REGRESSION:
            before, after = sums.losses
            seed_before, seed_after = sums.seed_losses
            return cls(after - before, before, seed_after - seed_before, seed_before)
        weight, labels = sums.weight.sum(axis=1), sums.labels.sum(axis=1)
        rates = (labels / weight)[:, None]
        own = -(sums.labels * np.log(rates) + (sums.weight - sums.labels) * np.log1p(-rates))
        expected = ExpectedEntropy.fit(rates[:, 0], weight, float(own.sum() - sums.losses[1].sum()))
        share = (expected.slopes / max(float(expected.slopes.sum()), 1e-300))[:, None]
        saved = expected.saved[:, None]

        def centred(rise: np.ndarray) -> np.ndarray:
            return rise - share * rise.sum(axis=0)

        seed_rates, seed_after = own.sum(axis=1, keepdims=True), sums.seed_losses[1]
        return cls(
            centred(sums.losses[1] - own + saved * sums.weight),
            own,
            centred(seed_after - seed_rates + saved * weight[:, None]),
            np.repeat(seed_rates, seed_after.shape[1], axis=1),
        )

    def moves(self) -> tuple[np.ndarray, np.ndarray]:
        """Ratio of each cell, and how far each bucket moves it."""
        total = self.denominator.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = self.numerator.sum(axis=1, keepdims=True) / total
            return value[:, 0], (self.numerator - value * self.denominator) / total

    def grouped(self, numbers: np.ndarray, groups: int) -> "Ratios":
        """Sums of the cells of each group."""

        def add(values: np.ndarray) -> np.ndarray:
            sums = np.zeros((groups, values.shape[1]))
            np.add.at(sums, numbers, values)
            return sums

        return Ratios(*map(add, self._parts()))

    def less(self, part: "Ratios") -> "Ratios":
        """What is left of each group without a part of it."""

        def subtract(whole: np.ndarray, of_part: np.ndarray) -> np.ndarray:
            # What should be 0 and is not would be divided by itself.
            return np.where(np.abs(whole - of_part) > 1e-9 * np.abs(whole), whole - of_part, 0.0)

        return Ratios(*map(subtract, self._parts(), part._parts()))

    def at(self, chosen: np.ndarray | list[int]) -> "Ratios":
        """Some of the cells."""
        return Ratios(*(values[chosen] for values in self._parts()))

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.numerator, self.denominator, self.seed_numerator, self.seed_denominator

    def estimate(self) -> Estimate | None:
        """Of a single cell: the ratio with its interval; 0 is "no worse"."""
        n, d, seed_n, seed_d = (values[0] for values in self._parts())
        return ratio_estimate(d - n, d, seed_d - seed_n, seed_d, gain=True)

    def difference(self, other: "Ratios") -> Estimate | None:
        """Of single cells: this ratio less the other's, with its interval."""
        n, d, seed_n, seed_d = (values[0] for values in self._parts())
        m, e, seed_m, seed_e = (values[0] for values in other._parts())
        if d.sum() == 0.0 or e.sum() == 0.0:
            return None
        others = m.sum() / e.sum()
        # What buckets and seeds move the other ratio by is added to what they do to this one.
        n = n - others * d - (m - others * e) * d.sum() / e.sum()
        seed_n = seed_n - others * seed_d - (seed_m - others * seed_e) * seed_d.sum() / seed_e.sum()
        return ratio_estimate(d - n, d, seed_d - seed_n, seed_d, gain=True)


def steps(value: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Values over the standard errors that their buckets make; 0 where there is nothing to divide."""
    buckets = np.maximum(np.count_nonzero(moves, axis=1), 2)
    error = np.sqrt(buckets / (buckets - 1) * np.sum(moves**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(value / error, nan=0.0)
