"""A value of a table as messages show it."""

from typing import Any

import polars as pl

_LONGEST = 200


def shown(value: Any) -> str:
    """A value as Python writes it, cut where it is long.

    Example:
    >>> shown(None), shown("de"), shown("x" * 1000)[-20:]
    ('nothing', "'de'", '… (1,002 characters)')
    """
    if value is None:
        return "nothing"
    text = repr(value.to_list() if isinstance(value, pl.Series) else value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
