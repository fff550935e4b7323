"""Mean and deviation of a stream of chunks."""

import numpy as np


class RunningMoments:
    """Mean and standard deviation of a stream, merged chunk by chunk (Chan, Golub and LeVeque 1979).

    On columns with a large mean a sum of squares would lose all its digits by cancellation; centred sums do not.

    Example:
    >>> moments = RunningMoments()
    >>> moments.update(np.array([1.0, 2.0]))
    >>> moments.update(np.array([3.0, np.inf]))
    >>> moments.mean
    2.0
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._centred = 0.0
        self._low = np.inf
        self._high = -np.inf

    @classmethod
    def of(cls, values: np.ndarray) -> "RunningMoments":
        """The moments of a chunk, for `add`; values that are not finite are left out."""
        values = values[np.isfinite(values)].astype("float64")
        moments = cls()
        if len(values):
            moments.count = len(values)
            moments.mean = float(values.mean())
            moments._centred = float(np.square(values - moments.mean).sum())
            moments._low, moments._high = float(values.min()), float(values.max())
        return moments

    def update(self, values: np.ndarray) -> None:
        """Add a chunk."""
        self.add(self.of(values))

    def add(self, chunk: "RunningMoments") -> None:
        """Add the moments of a chunk; the last bits depend on the order of the chunks."""
        if not chunk.count:
            return
        total = self.count + chunk.count
        delta = chunk.mean - self.mean
        self._centred += chunk._centred + delta * delta * self.count * chunk.count / total
        self.mean += delta * chunk.count / total
        self.count = total
        self._low = min(self._low, chunk._low)
        self._high = max(self._high, chunk._high)
        if self._low == self._high:  # a rounded mean would leave a constant column a deviation of 1e-16
            self.mean, self._centred = self._low, 0.0

    @property
    def std(self) -> float:
        """Population standard deviation; 1 where it would be 0 or nothing was seen."""
        std = float(np.sqrt(self._centred / self.count)) if self.count else 0.0
        return std if std > 0 else 1.0
