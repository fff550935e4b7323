"""What a signature takes, and columns made to fit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Dtype and shape of an input.

    Args:
        dtype: TensorFlow's name of it, `"string"`, `"int64"`, `"float32"` …
        shape: lengths of its axes, `None` where any will do.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs of a signature by name, and the check that columns fit them.

    Args:
        inputs: dtype and shape by name.

    Example:

    >>> signature = Signature({"ad_id": TensorSpec("string", (None,)), "bid": TensorSpec("float32", (None,))})
    >>> signature.columns({"ad_id": ["a7", None], "bid": [1, 2]}, "predict")["ad_id"]
    array([b'a7', b''], dtype=object)
    """

    inputs: Mapping[str, TensorSpec]

    def columns(self, given: Any, what: str) -> dict[str, np.ndarray]:
        """The columns that the signature takes, as arrays of its dtypes.

        Args:
            given: a polars frame or a dict of columns; more columns than the signature takes are left out.
            what: what the caller calls them, for errors.

        Raises:
            ValueError: when a column is missing, of another kind or another shape, or the rows differ in number.
        """
        available = given.columns if isinstance(given, pl.DataFrame) else list(given)
        missing = [name for name in self.inputs if name not in available]
        if missing:
            raise ValueError(
                f"{what} lacks the columns {missing}. Expected: {list(self.inputs)}. Received: {available}."
            )
        columns = {name: _column(name, given[name], spec, what) for name, spec in self.inputs.items()}
        rows = {name: len(values) for name, values in columns.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"{what}: the columns differ in their number of rows. Received: {rows}.")
        return columns


def _column(name: str, values: Any, spec: TensorSpec, what: str) -> np.ndarray:
    if isinstance(values, pl.Series):
        values = values.fill_null("").to_numpy() if values.dtype == pl.String else values.to_numpy()
    array = np.asarray(values, object) if spec.dtype == "string" else np.asarray(values)
    wanted = {"string": "strings", "int64": "integers", "int32": "integers", "float32": "numbers"}.get(
        spec.dtype, spec.dtype
    )
    if spec.dtype == "string":
        flat = [_encoded(value) for value in array.reshape(-1)]
        fits = all(value is not None for value in flat)
        if fits:
            strings = np.empty(len(flat), object)
            strings[:] = flat
            array = strings.reshape(array.shape)
    elif spec.dtype.startswith("int"):
        fits = array.dtype.kind in "iub"
    else:
        fits = array.dtype.kind in "iubf"
    if not fits:
        odd = next((v for v in array.reshape(-1) if spec.dtype != "string" or _encoded(v) is None), array.dtype)
        shown = odd.item() if isinstance(odd, np.generic) else odd
        raise ValueError(f"{what}, column {name!r}: expected {wanted}. Received: {shown!r} ({array.dtype}).")
    if spec.dtype != "string":
        array = array.astype(spec.dtype)
    if len(array.shape) != len(spec.shape) or any(
        w is not None and w != s for w, s in zip(spec.shape, array.shape, strict=True)
    ):
        wanted_shape = tuple("any" if axis is None else axis for axis in spec.shape)
        raise ValueError(f"{what}, column {name!r}: expected the shape {wanted_shape}. Received: {array.shape}.")
    return array


def _encoded(value: Any) -> bytes | None:
    """A string as bytes, nothing for a missing one, `None` for what is no string."""
    if value is None:
        return b""
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None
