"""A ratio of sums with an interval that covers users and seeds."""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# Chance of finding an effect that is there, for the smallest effect that a table could have seen.
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its standard error, 95 % interval and two-sided p-value.

    Args:
        value: the figure.
        null: what it would be without an effect.
        user_error: standard error from the sampling of users.
        seed_error: standard error from the seeds; `None` with a single one, whose noise is not known.
        degrees_of_freedom: of Student's distribution, by Welch and Satterthwaite.

    Example:

    >>> found = Estimate(0.3, 0.0, user_error=0.08, seed_error=0.06, degrees_of_freedom=40.0)
    >>> round(found.standard_error, 3), round(found.low, 3), round(found.high, 3), found.above
    (0.1, 0.098, 0.502, True)
    """

    value: float
    null: float
    user_error: float
    seed_error: float | None
    degrees_of_freedom: float

    @property
    def standard_error(self) -> float:
        """Both sources together."""
        return math.hypot(self.user_error, self.seed_error or 0.0)

    def _reach(self, probability: float) -> float:
        return float(stats.t.ppf(probability, self.degrees_of_freedom)) * self.standard_error

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self._reach(0.975)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self._reach(0.975)

    @property
    def p_value(self) -> float:
        """Two-sided, against `null`."""
        if self.standard_error == 0.0:
            return 1.0 if self.value == self.null else 0.0
        return float(2.0 * stats.t.sf(abs(self.value - self.null) / self.standard_error, self.degrees_of_freedom))

    @property
    def above(self) -> bool:
        """Whether the interval, with the noise of seeds in it, lies above `null`."""
        return self.seed_error is not None and self.low > self.null

    @property
    def below(self) -> bool:
        """Whether the interval, with the noise of seeds in it, lies below `null`."""
        return self.seed_error is not None and self.high < self.null

    @property
    def smallest_visible(self) -> float:
        """The smallest distance from `null` that would have been found with a chance of 80 %."""
        return self._reach(0.975) + self._reach(POWER)

    def to_dict(self) -> dict[str, float | bool | None]:
        """Plain numbers."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "standard_error": self.standard_error,
            "user_error": self.user_error,
            "seed_error": self.seed_error,
            "p_value": self.p_value,
            "smallest_visible": self.smallest_visible,
        }


def ratio_estimate(
    numerator: ArrayLike,
    denominator: ArrayLike,
    seed_numerator: ArrayLike,
    seed_denominator: ArrayLike,
    gain: bool = False,
) -> Estimate | None:
    """Σ numerator / Σ denominator over buckets of users and over seeds, with both standard errors.

    Linearised: with `R` the ratio, a bucket moves it by `(n - R d) / Σ d`, and the squares of what all buckets do
    add up to its variance (clusters of users); the seeds likewise. The variances of both are added, which counts
    what is peculiar to a user under a seed twice and so errs to the wide side.

    Args:
        numerator: sums by bucket of users, over all seeds; zeros where a bucket has no rows.
        denominator: the same.
        seed_numerator: sums by seed, over all users.
        seed_denominator: the same.
        gain: estimate `1 - ratio`, which is 0 without an effect, instead of the ratio. Defaults to `False`.

    Returns:
        The estimate; `None` where the denominator is 0 or fewer than two buckets have rows.

    Example:

    >>> found = ratio_estimate([9.0, 11.0, 10.5], [10.0, 11.0, 10.0], [30.5], [31.0], gain=True)
    >>> round(found.value, 4), round(found.user_error, 4), found.seed_error is None
    (0.0161, 0.0428, True)
    """
    n, d = np.asarray(numerator, "float64"), np.asarray(denominator, "float64")
    seed_n, seed_d = np.asarray(seed_numerator, "float64"), np.asarray(seed_denominator, "float64")
    buckets = int(np.count_nonzero(d))
    if buckets < 2 or d.sum() == 0.0:
        return None
    ratio = n.sum() / d.sum()
    user_variance = buckets / (buckets - 1) * np.sum(((n - ratio * d) / d.sum()) ** 2)
    seeds = len(seed_d)
    seed_error, degrees = None, buckets - 1.0
    if seeds > 1:
        moves = (seed_n - ratio * seed_d) / seed_d.sum()
        seed_variance = seeds / (seeds - 1) * np.sum(moves**2)
        seed_error = float(np.sqrt(seed_variance))
        spread = user_variance**2 / (buckets - 1) + seed_variance**2 / (seeds - 1)
        if spread > 0.0:
            degrees = float((user_variance + seed_variance) ** 2 / spread)
    return Estimate(
        value=float(1.0 - ratio if gain else ratio),
        null=0.0 if gain else 1.0,
        user_error=float(np.sqrt(user_variance)),
        seed_error=seed_error,
        degrees_of_freedom=degrees,
    )
