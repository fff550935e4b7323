"""A column of a user's table in the type that a feature, a label or a split asks for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from ..columns import Column, SequenceColumn, VectorColumn
from ..transforms.sequence_transform import split_tokens
from ..transforms.token_spelling import TokenSpelling

Problem = Callable[[np.ndarray, str], None]

_TRUTH = {"true": "1", "false": "0"}
_ONE_VALUE = "one value a row; describe lists as kind: sequence or vector"


def typed_column(values: pl.Series, column: Column, problem: Problem) -> pl.Series:
    """The values as a feature's column reads them: String without nulls, Int64, Float32 or lists of Float32.

    Args:
        values: strings as in a text file, or a Parquet file's own type; null where missing.
        column: the feature's column.
        problem: called with a mask of rows that do not fit, and what was expected of them.

    Raises:
        ValueError: if no value of this type could fit.
    """
    kind = column.feature(1).kind
    if isinstance(column, VectorColumn):
        return _vectors(values, column.dim, problem)
    if _is_list(values.dtype):
        if not isinstance(column, SequenceColumn):
            raise misfit(values, kind, _ONE_VALUE)
        return _joined(values, column.separator, problem)
    if column.dtype == "string":
        return plain_text(values, kind, problem).fill_null("")
    if values.dtype.is_temporal():
        raise misfit(values, kind, "a number; name the column under `time`, or add one with its hour")
    if not _is_number(values.dtype):
        values = plain_text(values, kind, problem)
    target = pl.Int64 if column.dtype == "int64" else pl.Float32
    typed = _numbers(values, target)
    if column.dtype == "int64":
        wrong = typed.is_null() | (typed.cast(pl.Float64) != _numbers(values, pl.Float64)).fill_null(True)
        problem(wrong.to_numpy(), "an integer (dtype: string takes anything)")
        return typed.fill_null(0)
    missing = values.is_in(list(column.missing)) if values.dtype == pl.String else pl.Series([False])
    problem((typed.is_null() & _present(values) & ~missing).to_numpy(), "a number or nothing")
    return typed


def typed_label(values: pl.Series, problem: Problem) -> pl.Series:
    """A label as Float32, null where missing; `true` and `false` count as 1 and 0.

    Example:
    >>> typed_label(pl.Series(["1", "False", ""]), lambda wrong, expected: None).to_list()
    [1.0, 0.0, None]
    """
    if not _is_number(values.dtype):
        if values.dtype.is_temporal():
            raise misfit(values, "task", "numbers in [0, 1]")
        values = plain_text(values, "task", problem, "numbers in [0, 1]").str.to_lowercase().replace(_TRUTH)
    typed = _numbers(values, pl.Float32).fill_nan(None)
    fits = typed.is_between(0, 1).fill_null(False)
    missing = ~_present(values) | (values.is_nan() if values.dtype.is_float() else False)
    problem((~fits & ~missing).to_numpy(), "a label in [0, 1] (nothing where it is unobserved)")
    return typed


def plain_text(values: pl.Series, kind: str, problem: Problem, expected: str = "text or numbers") -> pl.Series:
    """Values of a type that has one text a value, as strings.

    Args:
        values: the values; bytes are read as UTF-8.
        kind: what the column is described as, for messages.
        problem: called with a mask of the rows whose bytes are no text.
        expected: what to say of a type that has no text.

    Raises:
        ValueError: on lists, structs and durations.
    """
    if _is_list(values.dtype):
        raise misfit(values, kind, _ONE_VALUE)
    if not _has_text(values.dtype):
        raise misfit(values, kind, expected)
    text = decoded(values, pl.String)
    if values.dtype == pl.Binary:
        problem((text.is_null() & values.is_not_null()).to_numpy(), "text in UTF-8")
    return text


def decoded(values: pl.Series, target: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Values or lists as strings or lists of strings; bytes that are not UTF-8 are missing."""
    try:
        return values.cast(target)
    except pl.exceptions.ComputeError:
        return pl.Series(values.name, [_decode(value) for value in values.to_list()], dtype=target)


def misfit(values: pl.Series, kind: str, expected: str) -> ValueError:
    """The error for a column whose type cannot be what it is described as."""
    return ValueError(f"Column {values.name!r}, described as {kind}: expected {expected}. Received: {values.dtype}.")


def _vectors(values: pl.Series, dim: int, problem: Problem) -> pl.Series:
    inner = getattr(values.dtype, "inner", None)
    if not _is_list(values.dtype) or not _is_number(inner):
        raise misfit(values, "vector", "a Parquet column of lists of numbers")
    lists = values.cast(pl.List(pl.Float32))
    wrong = (lists.list.len() != dim).fill_null(False)
    problem(wrong.to_numpy(), f"{dim} numbers")
    # A row that is reported is left out in the end; until then it needs the length of the others.
    return pl.select(pl.when(~wrong).then(lists)).to_series().alias(values.name) if wrong.any() else lists


def _joined(values: pl.Series, separator: str, problem: Problem) -> pl.Series:
    """Lists as one string each, as a served model takes them; no item may be torn apart when it is split again."""
    inner = getattr(values.dtype, "inner", None)
    if not _has_text(inner):
        raise misfit(values, "sequence", "lists of text or numbers")
    lists = decoded(values, pl.List(pl.String))
    if inner == pl.Binary:
        lost = lists.list.drop_nulls().list.len() < values.cast(pl.List(inner)).list.drop_nulls().list.len()
        problem(lost.fill_null(False).to_numpy(), "items of text in UTF-8")
    joined = lists.list.join(separator).fill_null("")
    items = lists.list.eval(pl.element().filter(pl.element() != "")).fill_null([])
    torn = split_tokens(joined, separator, TokenSpelling()).ne_missing(items)
    problem(
        torn.to_numpy(),
        f"items that keep apart when joined by {separator!r}: choose another `separator`, one that occurs in no item",
    )
    return joined


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None


def _is_list(dtype: pl.DataType) -> bool:
    return dtype.base_type() in (pl.List, pl.Array)


def _is_number(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))


def _has_text(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and not dtype.is_nested() and dtype not in (pl.Duration, pl.Object)


def _numbers(values: pl.Series, target: pl.DataType | type[pl.DataType]) -> pl.Series:
    return values.cast(target, strict=False)


def _present(values: pl.Series) -> pl.Series:
    return values.is_not_null() & (values != "") if values.dtype == pl.String else values.is_not_null()
