"""What a signature takes, and columns made to fit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from .as_integers import as_integers


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
        outputs: names of what it answers. Defaults to `()`.

    Example:

    >>> signature = Signature({"ad_id": TensorSpec("string", (None,)), "bid": TensorSpec("float32", (None,))})
    >>> signature.columns({"ad_id": ["a7", None], "bid": [1, 2]}, "predict")["ad_id"]
    array([b'a7', b''], dtype=object)
    """

    inputs: Mapping[str, TensorSpec]
    outputs: tuple[str, ...] = ()

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


def as_text(values: Any) -> np.ndarray:
    """Strings as an array of objects, in which integers are their decimal text and missing ones empty.

    Args:
        values: a column; what is neither stays as it is.

    Example:

    >>> as_text(np.array([84, 7]))
    array([b'84', b'7'], dtype=object)
    """
    if isinstance(values, pl.Series) and values.dtype.is_integer():
        # With nulls among them NumPy would make floats of them.
        values = values.cast(pl.String)
    array = np.asarray(values.to_numpy() if isinstance(values, pl.Series) else values, object)
    found = np.empty(array.size, object)
    found[:] = [_encoded(value) for value in array.reshape(-1)]
    return found.reshape(array.shape)


def _column(name: str, values: Any, spec: TensorSpec, what: str) -> np.ndarray:
    wanted = {"string": "strings", "int64": "integers", "int32": "integers", "float32": "numbers"}.get(
        spec.dtype, spec.dtype
    )
    if spec.dtype == "string":
        array = as_text(values)
        odd = next((value for value in array.reshape(-1) if not isinstance(value, bytes)), None)
        fits, dtype = odd is None, getattr(values, "dtype", type(odd).__name__)
    else:
        array = np.asarray(values.to_numpy() if isinstance(values, pl.Series) else values)
        # A list without values has no kind.
        fits = array.dtype.kind in ("iub" if spec.dtype.startswith("int") else "iubf") or not array.size
        odd, dtype = next(iter(array.reshape(-1)), None), array.dtype
    if not fits:
        shown = odd.item() if isinstance(odd, np.generic) else odd
        raise ValueError(f"{what}, column {name!r}: expected {wanted}. Received: {shown!r} ({dtype}).")
    if spec.dtype.startswith("int") and array.size:
        try:
            array = as_integers(array, spec.dtype)
        except ValueError as error:
            raise ValueError(f"{what}, column {name!r}: {error}.") from error
    elif spec.dtype != "string":
        array = array.astype(spec.dtype)
    if len(array.shape) != len(spec.shape) or any(
        w is not None and w != s for w, s in zip(spec.shape, array.shape, strict=True)
    ):
        wanted_shape = tuple("any" if axis is None else axis for axis in spec.shape)
        raise ValueError(f"{what}, column {name!r}: expected the shape {wanted_shape}. Received: {array.shape}.")
    return array


def _encoded(value: Any) -> Any:
    """A string as bytes, nothing for a missing one, an integer's decimal text; anything else as it is."""
    if value is None:
        return b""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = str(value)
    return value.encode() if isinstance(value, str) else value
