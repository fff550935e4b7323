"""Numbers, replaced by the ids of the buckets that they fall into."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np
import polars as pl

from ...schema import Categorical
from ..transforms.missing_numbers import missing_numbers
from ..transforms.raw_values import Encoded, as_float32
from ..transforms.vocabulary_fingerprint import fingerprint
from .kind import Column, Problem, Profile, Transform, check_count, check_missing, mixed
from .numeric import graph_known_numbers, is_heavy_tailed, known_numbers
from .typed_values import typed_numbers

# Most distinct numbers that are counted; where there are more, all numbers lose their last binary digits.
_MOST_NUMBERS = 65_536


@dataclasses.dataclass(frozen=True)
class BucketizedColumn(Column):
    """A number, replaced by the id of its bucket; the buckets hold about as many training rows each.

    Use it where a number acts in steps rather than in proportion, as an age or an hour does. Equal numbers never fall
    into two buckets, so a column of few values has fewer buckets than you ask for. The boundaries are numbers of the
    training rows (or up to 1 % nearer to 0, where the rows have more than 65,536 different ones). Missing, NaN and
    infinite values have id 0.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        buckets: largest number of buckets. Defaults to 16.
        missing: spellings that mean missing, as for a `NumericColumn`. Defaults to `()`.

    Example:
    >>> column = BucketizedColumn("age", "user", buckets=4)
    >>> transform = column.fit(column.summarize(pl.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])))
    >>> transform.boundaries
    (3.0, 5.0, 7.0)
    """

    buckets: int = 16
    missing: tuple[str, ...] = ()
    kind = "bucketized"
    dtype = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"Column {self.name!r}", "buckets", self.buckets, 2)
        check_missing(f"Column {self.name!r}", self.missing)

    def feature(self, vocabulary_size: int) -> Categorical:
        """The schema's feature, with the size that fitting found."""
        return Categorical(self.name, vocabulary_size, side=self.side)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as Float32, null where missing."""
        return typed_numbers(values, self.kind, self.missing, problem)

    def empty(self) -> "NumberCounts":
        """The counts of no rows."""
        return NumberCounts()

    def summarize(self, values: pl.Series) -> "NumberCounts":
        """The counts of a chunk's finite numbers."""
        raw = as_float32(self.raw_name, values)
        return NumberCounts.of(raw[known_numbers(raw, missing_numbers(self.missing))])

    def lacks_numbers(self, summary: "NumberCounts") -> bool:
        """Whether no row had a finite number."""
        return not len(summary.counts)

    def fit(self, summary: "NumberCounts", owner: Any = None, shared: bool = False) -> "BucketizedTransform":
        """The transform with the quantiles of all rows."""
        return BucketizedTransform(self.raw_name, summary.boundaries(self.buckets), missing_numbers(self.missing))

    @classmethod
    def suits(cls, kind: str, profile: Profile) -> bool:
        """Whether the tail is still heavy after the logarithm, as that of small fractions is."""
        median, high = profile.magnitude(0.5), profile.magnitude(0.99)
        # Where most numbers are 0, quantiles would part the others too coarsely.
        if kind != "numeric" or not median or high is None:
            return False
        return is_heavy_tailed(math.log1p(median), math.log1p(high))

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """Why numbers are not drafted as numeric."""
        if not cls.suits("numeric", profile):
            return ""
        return "a heavy tail that a logarithm of 1 + |x| leaves heavy; kind: numeric standardises the numbers"


@dataclasses.dataclass(frozen=True)
class BucketizedTransform(Transform):
    """Find the bucket of a number: 1 and one more for each boundary that the number reaches; 0 for no number.

    Args:
        raw: name of the raw column.
        boundaries: least numbers of the second and later buckets, in order.
        missing: numbers that mean missing, compared as float32.

    Example:
    >>> BucketizedTransform("age", (18.0, 65.0))(np.array([17.0, 18.0, 70.0, np.nan]))
    array([1, 2, 3, 0], dtype=int32)
    """

    raw: str
    boundaries: tuple[float, ...]
    missing: tuple[float, ...] = ()

    kind = "bucketized"
    dtype = "float32"

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, that of missing numbers included."""
        return len(self.boundaries) + 2

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the boundaries (see `Schema.check_fitted`)."""
        return fingerprint(f"{boundary:.9g} " for boundary in self.boundaries)

    def encode(self, values: Any) -> Encoded:
        """The ids, and how many numbers are missing."""
        raw = as_float32(self.raw, values)
        known = known_numbers(raw, self.missing)
        buckets = np.searchsorted(np.array(self.boundaries, "float32"), raw, side="right") + 1
        return Encoded(np.where(known, buckets, 0).astype("int32"), len(raw) - int(np.count_nonzero(known)), len(raw))

    def graph(self, values: Any, table: Any) -> Any:
        """The same in TensorFlow."""
        import tensorflow as tf

        known = graph_known_numbers(values, self.missing)
        buckets = tf.ones_like(values, tf.int32)
        if self.boundaries:
            finite = tf.where(known, values, tf.zeros_like(values))
            buckets += tf.searchsorted(tf.constant(self.boundaries, tf.float32), finite, side="right")
        return tf.where(known, buckets, tf.zeros_like(buckets))

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Numbers at the boundaries and between them, some of them missing."""
        numbers = np.array([0.0, *self.boundaries])
        values = generator.choice(numbers, rows) + generator.choice([0.0, -1.0, 1.0], rows) * np.ptp(numbers) / 100
        return mixed(values, np.array([np.nan, *self.missing]), generator).astype("float32")

    def is_readable(self, most: int) -> bool:
        """Whether there are few ids."""
        return self.vocabulary_size <= most

    def readable(self, encoded: np.ndarray) -> pl.Series:
        """The buckets' limits."""
        edges = [f"{boundary:.6g}" for boundary in self.boundaries]
        between = [f"{low} to below {high}" for low, high in itertools.pairwise(edges)]
        names = ["(missing)", *([f"below {edges[0]}", *between, f"from {edges[-1]}"] if edges else ["any number"])]
        return pl.Series(np.array(names, dtype=object)[encoded], dtype=pl.String)


class NumberCounts:
    """Counts of the distinct float32 numbers of a stream, in bounded memory.

    Where there are too many, all numbers lose as many of their last binary digits as needed. Parts that are added in
    any order and grouping therefore give the same counts.

    Example:
    >>> counts = NumberCounts.of(np.array([1, 1, 2, 3], "float32"))
    >>> counts.add(NumberCounts.of(np.array([2, 4], "float32")))
    >>> counts.boundaries(2)
    (2.0,)
    """

    def __init__(self) -> None:
        self._bits = np.empty(0, "int32")
        self._dropped = 0
        self.counts = np.empty(0, "int64")

    @classmethod
    def of(cls, values: np.ndarray) -> "NumberCounts":
        """The counts of finite float32 numbers, for `add`."""
        counts = cls()
        # Adding 0 makes 0.0 of -0.0.
        counts._bits, counts.counts = np.unique((values + np.float32(0)).view("int32"), return_counts=True)
        return counts

    def add(self, part: "NumberCounts") -> None:
        """Add the counts of a part."""
        bits, counts = np.concatenate([self._bits, part._bits]), np.concatenate([self.counts, part.counts])
        self._dropped = max(self._dropped, part._dropped)
        while True:
            self._bits, place = np.unique(bits & np.int32(-1 << self._dropped), return_inverse=True)
            if len(self._bits) <= _MOST_NUMBERS:
                break
            self._dropped += 1
        self.counts = np.bincount(place, counts, len(self._bits)).astype("int64")

    def boundaries(self, buckets: int) -> tuple[float, ...]:
        """The least numbers of the second and later of some buckets that hold about as many rows each."""
        numbers = self._bits.view("float32")
        order = np.argsort(numbers)
        up_to = np.cumsum(self.counts[order])
        if not len(up_to):
            return ()
        ranks = np.arange(1, buckets) * up_to[-1] // buckets
        found = np.unique(numbers[order][np.searchsorted(up_to, ranks, side="right")])
        return tuple(found[found > numbers.min()].tolist())
