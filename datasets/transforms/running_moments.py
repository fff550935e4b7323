"""Mean and deviation of a stream of chunks."""

import math

import numpy as np

# A value is read as a whole number of so many binary digits times a power of two. A double has 53.
_HALF = 26
_DIGITS = 2 * _HALF
# No power of two of a double lies below it.
_LEAST_POWER = -1200


class RunningMoments:
    """Mean and standard deviation of a stream, merged chunk by chunk.

    The sums are whole numbers and therefore exact. So they do not depend on how rows are cut into chunks, on the order
    in which chunks are added, or on who adds them, and no digit is lost where the mean is large. The 52 leading binary
    digits of each value count.

    Example:
    >>> moments = RunningMoments()
    >>> moments.update(np.array([1.0, 2.0]))
    >>> moments.update(np.array([3.0, np.inf]))
    >>> moments.mean
    2.0
    """

    def __init__(self) -> None:
        self.count = 0
        # In units of 2**_LEAST_POWER, and of its square.
        self._sum = self._squares = 0
        self._low = math.inf
        self._high = -math.inf

    @classmethod
    def of(cls, values: np.ndarray) -> "RunningMoments":
        """The moments of a chunk, for `add`; values that are not finite are left out."""
        values = values[np.isfinite(values)].astype("float64", copy=False)
        moments = cls()
        if len(values):
            moments.count = len(values)
            moments._sum, moments._squares = _exact_sums(values)
            moments._low, moments._high = float(values.min()), float(values.max())
        return moments

    def update(self, values: np.ndarray) -> None:
        """Add a chunk."""
        self.add(self.of(values))

    def add(self, chunk: "RunningMoments") -> None:
        """Add the moments of a chunk."""
        self.count += chunk.count
        self._sum += chunk._sum
        self._squares += chunk._squares
        self._low = min(self._low, chunk._low)
        self._high = max(self._high, chunk._high)

    @property
    def mean(self) -> float:
        """Mean; 0 where nothing was seen."""
        if self._low == self._high:
            return self._low
        return self._sum / (self.count << -_LEAST_POWER) if self.count else 0.0

    @property
    def std(self) -> float:
        """Population standard deviation; 1 where it would be 0 or nothing was seen."""
        if self._low >= self._high:
            return 1.0
        return math.sqrt((self.count * self._squares - self._sum**2) / (self.count**2 << -2 * _LEAST_POWER)) or 1.0


def _exact_sums(values: np.ndarray) -> tuple[int, int]:
    """The sums of finite values and of their squares."""
    fractions, powers = np.frexp(values)
    least = int(powers.min())
    powers = (powers - least).astype("uint16")  # short integers are sorted fastest
    order = np.argsort(powers, kind="stable")
    powers = powers[order]
    starts = np.flatnonzero(np.append(True, powers[1:] != powers[:-1]))
    used = powers[starts].tolist()

    def total(numbers: np.ndarray, step: int) -> int:
        """The sum of whole numbers below 2**52, each times 2**(step * power)."""
        # Each half adds up exactly in double precision, for fewer than 2**27 rows.
        high = np.floor(numbers * 2.0**-_HALF)
        low = numbers - high * 2.0**_HALF
        sums = zip(np.add.reduceat(high, starts), np.add.reduceat(low, starts), used, strict=True)
        return sum(((int(of_high) << _HALF) + int(of_low)) << (step * power) for of_high, of_low, power in sums)

    whole = np.trunc(fractions[order] * 2.0**_DIGITS)
    high = np.floor(whole * 2.0**-_HALF)
    low = whole - high * 2.0**_HALF
    squares = total(high * high, 2) << _DIGITS
    if low.any():
        squares += (total(high * low, 2) << (_HALF + 1)) + total(low * low, 2)
    shift = least - _DIGITS - _LEAST_POWER
    return total(whole, 1) << shift, squares << 2 * shift
