"""Dense vectors."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl

from ...schema import Vector
from ..transforms.raw_values import Encoded, as_matrix
from .kind import Column, Problem, Profile, Transform, check_count
from .typed_values import is_list, is_number, misfit


@dataclasses.dataclass(frozen=True)
class VectorColumn(Column):
    """A dense vector passed through as float32; components that are not finite become 0.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dim: number of components (keyword).

    Example:
    >>> VectorColumn("title_embedding", "ad", dim=64).dtype
    'float32'
    """

    dim: int = dataclasses.field(kw_only=True)
    kind = "vector"
    dtype = "float32"

    def __post_init__(self) -> None:
        check_count(f"Column {self.name!r}", "dim", self.dim)
        super().__post_init__()

    def feature(self, vocabulary_size: int) -> Vector:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Vector(self.name, self.dim, side=self.side)

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as lists of Float32."""
        if not is_list(values.dtype) or not is_number(getattr(values.dtype, "inner", None)):
            raise misfit(values, self.kind, "a Parquet column of lists of numbers")
        lists = values.cast(pl.List(pl.Float32))
        wrong = (lists.list.len() != self.dim).fill_null(False)
        problem(wrong.to_numpy(), f"{self.dim} numbers")
        # A row that is reported is left out later; until then it needs the same length as the others.
        return pl.select(pl.when(~wrong).then(lists)).to_series().alias(values.name) if wrong.any() else lists

    def fit(self, summary: Any, owner: Any = None, shared: bool = False) -> "VectorTransform":
        """The transform; nothing is learnt from rows."""
        return VectorTransform(self.raw_name, self.dim)

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """The number of components."""
        return {"dim": profile.pieces("")}


@dataclasses.dataclass(frozen=True)
class VectorTransform(Transform):
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

    kind = "vector"
    dtype = "float32"

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """One axis of the vector's components."""
        return (self.dim,)

    def encode(self, values: Any) -> Encoded:
        """The vectors, and how many components were replaced."""
        matrix = as_matrix(self.raw, values, self.dim)
        known = np.isfinite(matrix)
        return Encoded(np.where(known, matrix, np.float32(0)), matrix.size - int(np.count_nonzero(known)), matrix.size)

    def graph(self, values: Any, table: Any) -> Any:
        """The same in TensorFlow."""
        import tensorflow as tf

        return tf.where(tf.math.is_finite(values), values, tf.zeros_like(values))

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Standard normal components."""
        return generator.normal(size=(rows, self.dim)).astype("float32")
