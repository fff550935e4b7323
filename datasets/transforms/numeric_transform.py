"""The fitted transform of a numeric column."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from .raw_values import Encoded, as_float32
from .vocabulary_fingerprint import fingerprint


def known_numbers(values: np.ndarray, missing: tuple[float, ...]) -> np.ndarray:
    """Where float32 values are finite and none of those that mean missing."""
    known: np.ndarray = np.isfinite(values)
    return known & ~np.isin(values, np.asarray(missing, "float32")) if missing else known


def apply_function(function: str, values: np.ndarray) -> np.ndarray:
    """`sign(x)·log1p(|x|)` or the values themselves, in float64."""
    values = values.astype("float64")
    return np.sign(values) * np.log1p(np.abs(values)) if function == "log1p" else values


@dataclasses.dataclass(frozen=True)
class NumericTransform:
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

    kind: ClassVar[str] = "numeric"
    dtype: ClassVar[str] = "float32"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the function and the moments (see `Schema.check_fitted`)."""
        # Their last bits depend on the chunks that they were added up in, and a mean of about 0 is nothing but those.
        place = round(self.mean / self.std, 5) + 0.0
        return fingerprint([f"{self.function} {place:.8g} {self.std:.6g}"])

    def encode(self, values: Any) -> Encoded:
        """The standardised values, and how many were imputed."""
        raw = as_float32(self.raw, values)
        known = known_numbers(raw, self.missing)
        changed = apply_function(self.function, np.where(known, raw, np.float32(0)))
        array = np.where(known, (changed - self.mean) / self.std, 0.0).astype("float32")
        return Encoded(array, len(raw) - int(np.count_nonzero(known)), len(raw))

    def __call__(self, values: Any) -> np.ndarray:
        """The standardised values as float32."""
        return self.encode(values).array
