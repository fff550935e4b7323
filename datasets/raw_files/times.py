"""Times of rows, as numbers."""

import functools

import numpy as np
import polars as pl

from ..kinds.typed_values import decoded, misfit

# Microseconds in a unit of time.
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}
# Seconds since 1970 stay below this number until the year 5138, and milliseconds exceed it from 1973 on.
_FACTOR = 1e11


def times(values: pl.Series) -> np.ndarray:
    """Times as float64, in one unit for the whole column, NaN where there is none.

    Args:
        values: numbers or dates, or strings of numbers or of ISO 8601 dates.
    """
    values = _plain(values)
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() > values.null_count():
            numbers = numbers.fill_null(_of_dates(values))
    else:
        numbers = values.to_physical().cast(pl.Float64, strict=False)
    return numbers.fill_null(float("nan")).to_numpy()


def guess_unit(values: pl.Series) -> str | None:
    """The unit of a column of numbers by the size of its first one: below 1e11 `"s"`, below 1e14 `"ms"`, and so on.

    Args:
        values: the column; `None` is returned where it holds dates or no number.

    Example:
    >>> guess_unit(pl.Series([1_714_521_600_000])), guess_unit(pl.Series(["2024-05-01"]))
    ('ms', None)
    """
    values = _points_in_time(values)
    if values.dtype.is_temporal():
        return None
    numbers = values.cast(pl.Float64, strict=False).drop_nulls().head(1)
    if not len(numbers):
        return None
    below = int(np.searchsorted([_FACTOR, 1e3 * _FACTOR, 1e6 * _FACTOR], abs(numbers[0]), side="right"))
    return list(UNITS)[below]


def microseconds(values: pl.Series, unit: str | None) -> pl.Series:
    """Microseconds since 1970 in UTC as Int64, null where there is no time.

    Args:
        values: numbers or dates, or strings of numbers or of ISO 8601 dates.
        unit: of numbers, a key of `UNITS`; or how numbers and strings are spelled, such as `"%Y%m%d"`. Dates need none.

    Example:
    >>> microseconds(pl.Series(["1970-01-01 00:00:01", "2"]), "s").to_list()
    [1000000, 2000000]
    >>> microseconds(pl.Series([19700102]), "%Y%m%d").to_list()
    [86400000000]
    """
    values = _points_in_time(values)
    if values.dtype.is_temporal():
        if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return values.cast(pl.Datetime("us"), strict=False).dt.epoch("us")
    if unit is not None and "%" in unit:
        # Polars reads no hour without minutes, and no date without a time as a point in time.
        missing = "%H%M" if "%H" not in unit else "%M" if "%M" not in unit else ""
        zeros = missing.replace("%H", "00").replace("%M", "00")
        text = values.cast(pl.String) + zeros
        return text.str.to_datetime(unit + missing, time_unit="us", strict=False).dt.epoch("us")
    numbers = values.cast(pl.Float64, strict=False)
    if unit is not None:
        numbers = (numbers * UNITS[unit]).round(0).cast(pl.Int64, strict=False)
        if not values.dtype.is_float():
            # Exact, where a float would lose digits.
            whole = values.cast(pl.Int64, strict=False)
            numbers = (whole // 1000 if unit == "ns" else whole * int(UNITS[unit])).fill_null(numbers)
    else:
        numbers = numbers.cast(pl.Int64, strict=False).clear(len(numbers))
    if values.dtype == pl.String and numbers.null_count() > values.null_count():
        numbers = numbers.fill_null(_of_dates(values).cast(pl.Int64))
    return numbers


def _plain(values: pl.Series) -> pl.Series:
    if values.dtype in (pl.Binary, pl.Categorical, pl.Enum):
        values = decoded(values, pl.String)
    if values.dtype.is_nested() or values.dtype == pl.Object:
        raise misfit(values, "`time`", "numbers or dates")
    return values


def _points_in_time(values: pl.Series) -> pl.Series:
    """As `_plain`, without times of day and durations: they have an order, but do not say on which day."""
    values = _plain(values)
    if values.dtype in (pl.Time, pl.Duration):
        raise misfit(values, "`time`", "numbers or dates")
    return values


def _of_dates(values: pl.Series) -> pl.Series:
    """Microseconds of ISO 8601 dates, with or without time and zone; null where the text is not a date."""
    text = pl.col("text").str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    parse = functools.partial(text.str.to_datetime, time_unit="us", strict=False)
    forms = [parse(form) for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")]
    forms.append(parse("%Y-%m-%d %H:%M:%S%.f%:z").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    forms.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    dates = pl.DataFrame({"text": values}).select(pl.coalesce(forms)).to_series()
    return dates.dt.epoch("us").cast(pl.Float64)
