"""Values of a user's table in the type that a kind of feature, a label or a split asks for."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from .kind import Problem

_ONE_VALUE = "one value per row; describe lists as kind: sequence or vector"


def typed_text(values: pl.Series, kind: str, problem: Problem) -> pl.Series:
    """Values as strings, `""` where missing.

    Args:
        values: the values.
        kind: what the column is described as, for messages.
        problem: called with a mask of the rows whose bytes are no text.
    """
    return plain_text(values, kind, problem).fill_null("")


def typed_integers(values: pl.Series, kind: str, problem: Problem) -> pl.Series:
    """Values as Int64.

    Args:
        values: the values.
        kind: what the column is described as, for messages.
        problem: called with a mask of the rows that hold no integer.
    """
    values = _number_or_text(values, kind, problem)
    typed = numbers(values, pl.Int64)
    wrong = typed.is_null() | (typed.cast(pl.Float64) != numbers(values, pl.Float64)).fill_null(True)
    problem(wrong.to_numpy(), "an integer (dtype: string takes anything)")
    return typed.fill_null(0)


def typed_numbers(values: pl.Series, kind: str, missing: Sequence[str], problem: Problem) -> pl.Series:
    """Values as Float32, null where missing.

    Args:
        values: the values.
        kind: what the column is described as, for messages.
        missing: spellings that mean missing.
        problem: called with a mask of the rows that hold something else than a number.
    """
    values = _number_or_text(values, kind, problem)
    typed = numbers(values, pl.Float32)
    absent = values.is_in(list(missing)) if values.dtype == pl.String else pl.Series([False])
    problem((typed.is_null() & present(values) & ~absent).to_numpy(), "a number or nothing")
    return typed


def _number_or_text(values: pl.Series, kind: str, problem: Problem) -> pl.Series:
    if is_list(values.dtype):
        raise misfit(values, kind, _ONE_VALUE)
    if values.dtype.is_temporal():
        raise misfit(values, kind, "a number; name the column under `time`, or add one with its hour")
    return values if is_number(values.dtype) else plain_text(values, kind, problem)


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
    if is_list(values.dtype):
        raise misfit(values, kind, _ONE_VALUE)
    if not has_text(values.dtype):
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


def is_list(dtype: pl.DataType) -> bool:
    """Whether a column holds several values per row."""
    return dtype.base_type() in (pl.List, pl.Array)


def is_number(dtype: object) -> bool:
    """Whether values are numbers, booleans or all missing."""
    return isinstance(dtype, pl.DataType) and (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))


def has_text(dtype: object) -> bool:
    """Whether values have one text each."""
    return isinstance(dtype, pl.DataType) and not dtype.is_nested() and dtype not in (pl.Duration, pl.Object)


def numbers(values: pl.Series, target: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Values as numbers, null where they are none."""
    return values.cast(target, strict=False)


def present(values: pl.Series) -> pl.Series:
    """Whether there is a value in each row."""
    return values.is_not_null() & (values != "") if values.dtype == pl.String else values.is_not_null()


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None
