"""A column of a user's table in the type that a feature or a label asks for."""

from collections.abc import Callable

import numpy as np
import polars as pl

from ..columns import Column, SequenceColumn, VectorColumn

Problem = Callable[[np.ndarray, str], None]

_TRUTH = {"true": "1", "false": "0"}


def typed_column(values: pl.Series, column: Column, problem: Problem) -> pl.Series:
    """The values as a feature's column reads them: String without nulls, Int64, Float32 or lists of Float32.

    Args:
        values: strings as in a text file, or a Parquet file's own type; null where missing.
        column: the feature's column.
        problem: called with a mask of rows that do not fit, and what was expected of them.

    Raises:
        ValueError: if no value of this type could fit.
    """
    if isinstance(column, VectorColumn):
        if values.dtype.base_type() not in (pl.List, pl.Array):
            raise _misfit(values, "vector", "a Parquet column of lists of numbers")
        return values
    if values.dtype.base_type() in (pl.List, pl.Array):
        if not isinstance(column, SequenceColumn):
            raise _misfit(values, column.feature(1).kind, "one value a row; describe lists as kind: sequence or vector")
        return values.cast(pl.List(pl.String)).list.join(column.separator).fill_null("")
    if column.dtype == "string":
        return values.cast(pl.String).fill_null("")
    if values.dtype.is_temporal():
        raise _misfit(
            values, column.feature(1).kind, "a number; name the column under `time`, or add one with its hour"
        )
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
    present = _present(values)
    if values.dtype == pl.String:
        values = values.str.to_lowercase().replace(_TRUTH)
    elif not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise _misfit(values, "task", "numbers in [0, 1]")
    typed = _numbers(values, pl.Float32).fill_nan(None)
    fits = typed.is_between(0, 1).fill_null(False)
    missing = ~present | (values.is_nan() if values.dtype.is_float() else False)
    problem((~fits & ~missing).to_numpy(), "a label in [0, 1] (nothing where it is unobserved)")
    return typed


def _numbers(values: pl.Series, target: pl.DataType | type[pl.DataType]) -> pl.Series:
    return values.cast(target, strict=False)


def _present(values: pl.Series) -> pl.Series:
    return values.is_not_null() & (values != "") if values.dtype == pl.String else values.is_not_null()


def _misfit(values: pl.Series, kind: str, expected: str) -> ValueError:
    return ValueError(f"Column {values.name!r}, described as {kind}: expected {expected}. Received: {values.dtype}.")
