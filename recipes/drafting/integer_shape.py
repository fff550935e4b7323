"""Whether whole numbers look like ids or like quantities."""

import dataclasses

import numpy as np

_WINDOWS = 32
_LEAST_WINDOW = 8
_LEAST_PAIRS = 10
_ALIKE = 1.4
_NO_TAIL = 0.42
_BY_CHANCE = 2.5
_PARTS = 20
_UNEVEN = 4.0
_LONG_TAIL = 0.15
_EXACT = 2**53


@dataclasses.dataclass(frozen=True)
class IntegerShape:
    """How whole numbers are spread, in a few figures.

    Neighbouring values of a quantity (a count, an age, an amount) are alike: about as many rows have 17 as have 18, and
    large values are rare. Neighbouring ids have nothing to do with each other: they are used often, seldom or not at
    all, from one end of the range to the other. On public logs the first figure is 1.0 to 1.1 for counts and ages and 2
    to 10⁸ for ids.

    - `repeats`: how many times as often two rows of one neighbourhood (a 32nd of the distinct values) have the same
      value as they would if its numbers were used alike; the median over neighbourhoods. It is near 1 for quantities.
      Quantities that belong to users or items lie above it in a log that holds many rows of each.
    - `reach`: where the distinct values lie in the range on average, from 0 at its lower end to 1 at its upper end. It
      is 0.5 for ids and smaller for quantities with a tail.
    - `use`: by how much the rows of the numbers in the range differ, or those of its twentieths, as a multiple of
      chance. It is near 1 where all are used alike, as quantities never are.
    - `unevenness`: how much the rows of the numbers differ, as the square of a coefficient of variation, chance left
      out. Quantities without a tail, such as ages, are below 1; ids that were numbered in an order like that of their
      frequency are far above.
    - `numbered`: whether the values are 0, 1, 2 … in the order of their first row or of their frequency, as encoders
      number categories.

    Args:
        repeats: see above; `None` where too few rows share a value to tell.
        reach: see above.
        use: see above.
        unevenness: see above.
        numbered: see above.
        exact: whether the values are small enough to be numbers. Longer ones would be rounded.

    Example:
    >>> rng = np.random.default_rng(0)
    >>> ages, hashes = rng.normal(40, 12, 5000).astype("int64"), rng.integers(0, 2**32, 300)[rng.integers(0, 300, 5000)]
    >>> IntegerShape.of(ages).is_id, IntegerShape.of(hashes).is_id
    (False, True)
    """

    repeats: float | None
    reach: float
    use: float
    unevenness: float
    numbered: bool
    exact: bool

    @classmethod
    def of(cls, values: np.ndarray) -> "IntegerShape":
        """The shape of int64 values, at least two of them distinct."""
        distinct, first, rows = np.unique(values, return_index=True, return_counts=True)
        # Prices in whole euros that are written as cents are a quantity, too.
        step = max(int(np.gcd.reduce(np.diff(distinct))), 1)
        places = (distinct - distinct[0]) // step
        span = int(places[-1]) + 1
        expected = len(values) / span
        unused = span - len(distinct)
        dispersion = float((np.square(rows - expected).sum() + unused * expected**2) / expected / span)
        parts, _ = np.histogram(places, _PARTS, weights=rows)
        in_order = bool((np.diff(first) > 0).all()) or bool((np.diff(rows) <= 0).all())
        return cls(
            _repeats(places, rows.astype(float)),
            float(places.mean() / places[-1]),
            max(dispersion, float(parts.var() / parts.mean())),
            (dispersion - 1) / expected,
            bool(unused == 0 and distinct[0] in (0, 1) and in_order),
            bool(max(abs(int(distinct[0])), abs(int(distinct[-1]))) < _EXACT),
        )

    @property
    def is_id(self) -> bool:
        """Whether the values are probably ids. In doubt they are taken for ids, since that mistake costs less."""
        if not self.exact or self.numbered or self._is_even or self._is_uneven:
            return True
        if self.repeats is None:
            return self.reach > _NO_TAIL
        return self.repeats >= _ALIKE and self.reach > _LONG_TAIL

    @property
    def is_doubtful(self) -> bool:
        """Whether the figures contradict each other or lie between the two."""
        if not self.exact or self.numbered:
            return False
        if self.repeats is None or self._is_even:
            return True
        if self.repeats < _ALIKE:
            return self._is_uneven
        return self.reach < _NO_TAIL or self.repeats < 1.5

    @property
    def _is_even(self) -> bool:
        """Whether all numbers are used alike, from one end to the other."""
        return self.use < _BY_CHANCE and self.reach > _NO_TAIL

    @property
    def _is_uneven(self) -> bool:
        """Whether some numbers are used far more than others, although large numbers are not rarer."""
        return self.unevenness > _UNEVEN and self.reach > _NO_TAIL


def _repeats(places: np.ndarray, rows: np.ndarray) -> float | None:
    """Pairs of rows with the same value, found over expected: the median of neighbourhoods, or of all rows."""
    size = max(_LEAST_WINDOW, len(places) // _WINDOWS)
    starts = np.arange(0, len(places) - size + 1, size)
    if not len(starts):
        return None
    end = starts[-1] + size
    widths = places[starts + size - 1] - places[starts] + 1.0
    total = np.add.reduceat(rows[:end], starts)
    found = np.add.reduceat((rows * (rows - 1))[:end], starts)
    expected = total * (total - 1) / widths
    enough = np.maximum(found, expected) >= _LEAST_PAIRS
    if 2 * enough.sum() >= len(enough):
        return float(np.median(found[enough] / expected[enough]))
    pairs, by_chance = float(found[~enough].sum()), float(expected[~enough].sum())
    return pairs / by_chance if max(pairs, by_chance) >= _LEAST_PAIRS else None
