"""Numbers, standardised."""

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
import polars as pl

from ...schema import Numeric
from ..transforms.missing_numbers import missing_numbers
from ..transforms.raw_values import Encoded, as_float32
from ..transforms.running_moments import RunningMoments
from ..transforms.vocabulary_fingerprint import fingerprint
from .kind import Column, Problem, Profile, Transform, check_missing, mixed
from .typed_values import typed_numbers

FUNCTIONS = ("log1p", "identity")

Function = Literal["log1p", "identity"]
# A tail is heavy where one number in a hundred is so many times the median.
_HEAVY = 100


@dataclasses.dataclass(frozen=True)
class NumericColumn(Column):
    """A number, standardised after an optional signed logarithm.

    `log1p` means sign(x)·log(1 + |x|). It suits counts, amounts and durations, whose long tails would otherwise
    dominate the mean. Missing, NaN and infinite values become the training mean, which is 0 after standardising.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        function: `"log1p"` or `"identity"`. Defaults to `"log1p"`.
        missing: spellings that mean missing. One that is a number, such as `"-1"`, stands for all its spellings.
            Defaults to `()`.

    Example:
    >>> NumericColumn("register_days", "user").raw_name
    'register_days'
    """

    function: Function = "log1p"
    missing: tuple[str, ...] = ()
    kind = "numeric"
    dtype = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in FUNCTIONS:
            raise ValueError(
                f"Column {self.name!r}: `function` must be one of {FUNCTIONS}. Received: {self.function!r}."
            )
        check_missing(f"Column {self.name!r}", self.missing)

    def feature(self, vocabulary_size: int) -> Numeric:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Numeric(self.name, side=self.side)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as Float32, null where missing."""
        return typed_numbers(values, self.kind, self.missing, problem)

    def empty(self) -> RunningMoments:
        """The moments of no rows."""
        return RunningMoments()

    def summarize(self, values: pl.Series) -> RunningMoments:
        """The moments of a chunk's finite numbers."""
        raw = as_float32(self.raw_name, values)
        known = raw[known_numbers(raw, missing_numbers(self.missing))]
        return RunningMoments.of(_apply_function(self.function, known))

    def lacks_numbers(self, summary: RunningMoments) -> bool:
        """Whether no row had a finite number."""
        return not summary.count

    def fit(self, summary: RunningMoments, owner: Any = None, shared: bool = False) -> "NumericTransform":
        """The transform with the moments of all rows."""
        missing = missing_numbers(self.missing)
        return NumericTransform(self.raw_name, self.function, summary.mean, summary.std, missing)

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """An offer of buckets, where the tail is heavy."""
        if not is_heavy_tailed(profile.magnitude(0.5), profile.magnitude(0.99)):
            return ""
        return "a heavy tail; kind: bucketized makes ids of quantiles instead of taking the logarithm"


@dataclasses.dataclass(frozen=True)
class NumericTransform(Transform):
    """Standardise a number with the mean and deviation of the training rows.

    The raw value is cast to float32; from there everything is float64 until the result is cast to
    float32 again. A serving graph that repeats these steps gets the same bits. Missing, NaN and
    infinite values are imputed with the training mean, which is exactly 0 after standardising.

    Args:
        raw: name of the raw column.
        function: `"log1p"` for sign(x)·log(1 + |x|), or `"identity"`.
        mean: mean of the function's value over the finite training rows.
        std: their standard deviation (1 for a constant column).
        missing: numbers that mean missing, compared as float32.

    Example:
    >>> transform = NumericTransform("price", function="identity", mean=2.0, std=4.0)
    >>> transform(np.array([10.0, np.nan]))
    array([2., 0.], dtype=float32)
    """

    raw: str
    function: str
    mean: float
    std: float
    missing: tuple[float, ...] = ()

    kind = "numeric"
    dtype = "float32"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the function and the moments (see `Schema.check_fitted`)."""
        # The last bits of logarithms may differ between machines, and a mean near 0 has no other bits.
        place = round(self.mean / self.std, 5) + 0.0
        return fingerprint([f"{self.function} {place:.8g} {self.std:.6g}"])

    def encode(self, values: Any) -> Encoded:
        """The standardised values, and how many were imputed."""
        raw = as_float32(self.raw, values)
        known = known_numbers(raw, self.missing)
        changed = _apply_function(self.function, np.where(known, raw, np.float32(0)))
        array = np.where(known, (changed - self.mean) / self.std, 0.0).astype("float32")
        return Encoded(array, len(raw) - int(np.count_nonzero(known)), len(raw))

    def graph(self, values: Any, table: Any) -> Any:
        """The same steps in TensorFlow."""
        import tensorflow as tf

        known = graph_known_numbers(values, self.missing)
        wide = tf.cast(tf.where(known, values, tf.zeros_like(values)), tf.float64)
        if self.function == "log1p":
            wide = tf.sign(wide) * tf.math.log1p(tf.abs(wide))
        scaled = (wide - tf.constant(self.mean, tf.float64)) / tf.constant(self.std, tf.float64)
        return tf.cast(tf.where(known, scaled, tf.zeros_like(scaled)), tf.float32)

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Numbers of the training rows' mean and deviation, some of them missing."""
        values = self._inverse(generator.normal(self.mean, self.std, rows))
        return mixed(values, np.array([np.nan, *self.missing]), generator).astype("float32")

    def is_readable(self, most: int) -> bool:
        """Always."""
        return True

    def readable(self, encoded: np.ndarray) -> pl.Series:
        """The numbers in their own units."""
        raw = encoded.astype("float64") * self.std + self.mean
        # What is left of 0 after float32.
        raw[np.abs(raw) < 1e-6 * self.std] = 0.0
        return pl.Series(self._inverse(raw))

    def _inverse(self, changed: np.ndarray) -> np.ndarray:
        return np.sign(changed) * np.expm1(np.abs(changed)) if self.function == "log1p" else changed


def is_heavy_tailed(median: float | None, high: float | None) -> bool:
    """Whether the 99th percentile of numbers without their signs is many times their median.

    Example:
    >>> is_heavy_tailed(1.0, 10.0), is_heavy_tailed(1.0, 1000.0)
    (False, True)
    """
    return median is not None and high is not None and high > _HEAVY * median


def known_numbers(values: np.ndarray, missing: tuple[float, ...]) -> np.ndarray:
    """Where float32 values are finite and none of those that mean missing."""
    known: np.ndarray = np.isfinite(values)
    return known & ~np.isin(values, np.asarray(missing, "float32")) if missing else known


def graph_known_numbers(values: Any, missing: tuple[float, ...]) -> Any:
    """As `known_numbers`, in TensorFlow."""
    import tensorflow as tf

    known = tf.math.is_finite(values)
    if missing:
        is_missing = tf.reduce_any(tf.equal(values[..., tf.newaxis], tf.constant(missing, tf.float32)), axis=-1)
        known = tf.logical_and(known, tf.logical_not(is_missing))
    return known


def _apply_function(function: str, values: np.ndarray) -> np.ndarray:
    """`sign(x)·log1p(|x|)` or the values themselves, in float64."""
    values = values.astype("float64")
    return np.sign(values) * np.log1p(np.abs(values)) if function == "log1p" else values
