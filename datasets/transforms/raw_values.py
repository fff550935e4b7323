"""Raw columns as they come (polars, NumPy, lists) in the one form each transform works on."""

import re
from typing import Any, NamedTuple

import numpy as np
import polars as pl

# A vocabulary never holds it (a vocabulary file has one token per line), so it stands for bytes that are not text.
UNKNOWN = "\n"
_NO_TEXT = re.compile("[\udc80-\udcff]+")


class Encoded(NamedTuple):
    """Encoded values with how many of them had to be replaced (imputed or out of vocabulary)."""

    array: np.ndarray
    replaced: int
    total: int


def as_strings(name: str, values: Any) -> pl.Series:
    """A String series without nulls: a missing value is `""`, bytes are read as UTF-8, integers as decimal text."""
    if isinstance(values, pl.Series):
        series = values.cast(pl.String) if values.dtype.is_integer() else values
    else:
        array = _one_dimensional(name, np.asarray(values, dtype=None if isinstance(values, np.ndarray) else object))
        if array.dtype.kind in "iu":
            return pl.Series(array).cast(pl.String)
        if array.dtype.kind not in "SUO":
            raise _wrong_kind(name, "strings", array.dtype, "Cast the column to strings as they stand in the raw file.")
        items = array.tolist()
        binary = array.dtype.kind == "S" or any(isinstance(item, bytes) for item in items)
        try:
            if binary:
                series = pl.Series([_as_bytes(item) for item in items], dtype=pl.Binary, strict=True)
            else:
                series = pl.Series([_as_text(item) for item in items], dtype=pl.String, strict=True)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise _wrong_kind(name, "strings, bytes, integers or None", array.dtype, str(error)) from error
    if series.dtype == pl.Binary:
        try:
            series = series.cast(pl.String)
        except pl.exceptions.ComputeError:
            series = pl.Series([_decode(item) for item in series], dtype=pl.String)
    if series.dtype in (pl.Categorical, pl.Enum, pl.Null):
        series = series.cast(pl.String)
    if series.dtype != pl.String:
        raise _wrong_kind(name, "strings", series.dtype, "Cast the column to strings as they stand in the raw file.")
    return series.fill_null("") if series.null_count() else series


def as_bytes(name: str, values: Any) -> np.ndarray:
    """Tokens as a server takes them, an object array of bytes: UTF-8, `b""` where missing, integers as decimal text.

    Bytes stay as they are, also those that are no text. The shape stays too.
    """
    array = np.asarray(values.to_list() if isinstance(values, pl.Series) else values, dtype=object)
    flat = np.empty(array.size, dtype=object)
    for number, item in enumerate(array.reshape(-1)):
        token = _as_bytes(item)
        if token is not None and not isinstance(token, bytes):
            raise _wrong_kind(
                name,
                "strings, bytes, integers or None",
                f"{item!r} of type {type(item).__name__}",
                "Cast the column to strings as they stand in the raw file.",
            )
        flat[number] = token or b""
    return flat.reshape(array.shape)


def as_int64(name: str, values: Any) -> np.ndarray:
    """An int64 array; a missing value or a fraction is an error, since no integer represents it."""
    if isinstance(values, pl.Series):
        if values.null_count():
            row = int(values.is_null().arg_max() or 0)
            raise ValueError(
                f"Raw column {name!r}, row {row}: an integer is missing. Fill the column, or read it as strings."
            )
        if not values.dtype.is_integer():
            raise _wrong_kind(name, "integers", values.dtype, "Cast the column to int64.")
        return values.cast(pl.Int64).to_numpy()
    array = _one_dimensional(name, np.asarray(values))
    if array.dtype.kind not in "iu":
        raise _wrong_kind(name, "integers", array.dtype, "Cast the column to int64.")
    return array.astype("int64")


def as_float32(name: str, values: Any) -> np.ndarray:
    """A float32 array, NaN where missing; numbers beyond float32 become infinite (and are imputed)."""
    if isinstance(values, pl.Series):
        if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
            raise _wrong_kind(name, "numbers", values.dtype, "Cast the column to Float32.")
        return values.cast(pl.Float32).fill_null(float("nan")).to_numpy()
    array = _one_dimensional(name, np.asarray(values))
    if array.dtype.kind not in "fiub":
        raise _wrong_kind(name, "numbers", array.dtype, "Cast the column to float32.")
    with np.errstate(over="ignore"):
        return array.astype("float32")


def as_matrix(name: str, values: Any, dim: int) -> np.ndarray:
    """A float32 array of shape (rows, dim), NaN in rows that are missing."""
    if isinstance(values, pl.Series):
        if values.dtype.base_type() not in (pl.Array, pl.List):
            raise _wrong_kind(name, f"an Array or List of {dim} numbers per row", values.dtype, "")
        lists = values.cast(pl.List(pl.Float32))
        known = lists.is_not_null().to_numpy()
        lengths = lists.list.len().fill_null(dim).to_numpy()
        if (lengths != dim).any():
            row = int(np.argmax(lengths != dim))
            raise ValueError(f"Raw column {name!r}, row {row}: expected {dim} components. Received: {lengths[row]}.")
        matrix = np.full((len(values), dim), np.nan, "float32")
        if known.any():
            matrix[known] = lists.drop_nulls().explode().fill_null(float("nan")).to_numpy().reshape(-1, dim)
        return matrix
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(
            f"Raw column {name!r}: expected numbers of shape (rows, {dim}). "
            f"Received: {array.dtype} of shape {array.shape}."
        )
    with np.errstate(over="ignore"):
        return array.astype("float32")


def _decode(item: bytes | None) -> str | None:
    """Bytes as text, with what is none of it unknown and the rest, such as separators, as it is."""
    return None if item is None else _NO_TEXT.sub(UNKNOWN, item.decode("utf-8", "surrogateescape"))


def _as_text(item: Any) -> Any:
    """An integer as decimal text, anything else as it is."""
    return str(int(item)) if isinstance(item, int | np.integer) and not isinstance(item, bool) else item


def _as_bytes(item: Any) -> Any:
    """Text and integers as bytes, anything else as it is."""
    item = _as_text(item)
    return item.encode() if isinstance(item, str) else item


def _one_dimensional(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"Raw column {name!r}: expected shape (rows,) or (rows, 1). Received: {array.shape}.")
    return array


def _wrong_kind(name: str, expected: str, received: object, remedy: str) -> ValueError:
    return ValueError(f"Raw column {name!r}: expected {expected}. Received: {received}. {remedy}".rstrip())
