"""In what form a column holds points in time."""

import datetime
import re

import numpy as np
import polars as pl

# The years 2000 and 2050 in seconds since 1970: times of ads logs lie between them, and ids seldom do.
_FIRST, _LAST = 946_684_800, 2_524_608_000
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$"
_OTHER = (
    r"^(\d{4}[/.]\d\d?[/.]\d\d?|\d\d?[/.-]\d\d?[/.-]\d{4}|\w{3},? \d\d? \w{3} \d{4}|\w{3} \d\d?,? \d{4})([T ,].*)?$"
)
_DIGITS = {"YYYYMMDD": "%Y%m%d", "YYMMDDHH": "%y%m%d%H", "YYYYMMDDHH": "%Y%m%d%H", "YYYYMMDDHHMM": "%Y%m%d%H%M"}
_DIGITS |= {"YYYYMMDDHHMMSS": "%Y%m%d%H%M%S"}
_YEARS = 5
UNREAD = "dates in a form that is not read"


def time_form(text: pl.Series, numbers: np.ndarray | None) -> str | None:
    """The form of points in time, `None` if the values are something else.

    Args:
        text: the distinct values as strings.
        numbers: the same as int64, `None` if they are not whole numbers.

    Example:
    >>> time_form(pl.Series(["2022-05-01 10:00:00"]), None)
    'ISO 8601 dates'
    >>> time_form(pl.Series(["1651399200"]), np.array([1651399200]))
    'seconds since 1970'
    """
    if numbers is not None:
        return _of_numbers(text, numbers)
    if text.str.contains(_ISO).all():
        return "ISO 8601 dates"
    return UNREAD if text.str.contains(_OTHER).all() else None


def _of_numbers(text: pl.Series, numbers: np.ndarray) -> str | None:
    least, most = int(numbers.min()), int(numbers.max())
    for unit, scale in _UNITS.items():
        if least >= _FIRST * scale and most <= _LAST * scale and most - least < _YEARS * 366 * 86_400 * scale:
            return f"{unit} since 1970"
    for form, directive in _DIGITS.items():
        if (text.str.len_chars() == len(form)).all() and all(_reads(value, directive) for value in text.head(100)):
            return form
    return None


def _reads(value: str, directive: str) -> bool:
    if not re.fullmatch(r"\d+", value):
        return False
    try:
        return 2000 <= datetime.datetime.strptime(value, directive).year <= 2050
    except ValueError:
        return False
