"""The transform of a vector column."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .raw_values import Encoded, as_matrix


@dataclasses.dataclass(frozen=True)
class VectorTransform:
    """Pass a vector through as float32; components that are not finite become 0.

    Args:
        raw: name of the raw column.
        dim: number of components.

    Example:
    >>> VectorTransform("embedding", dim=2)(np.array([[1.0, np.nan]]))
    array([[1., 0.]], dtype=float32)
    """

    raw: str
    dim: int

    kind: ClassVar[str] = "vector"
    dtype: ClassVar[str] = "float32"

    def encode(self, values: Any) -> Encoded:
        """The vectors, and how many components were replaced."""
        matrix = as_matrix(self.raw, values, self.dim)
        known = np.isfinite(matrix)
        return Encoded(np.where(known, matrix, np.float32(0)), matrix.size - int(np.count_nonzero(known)), matrix.size)

    def __call__(self, values: Any) -> np.ndarray:
        """The vectors as float32, of shape (rows, dim)."""
        return self.encode(values).array
