"""The kind of a feature, from the values of its column."""

from .column_profile import ColumnProfile
from .name_words import QUANTITIES, THINGS, among, words

# Whole numbers with at most so many values are categories, since a category for each loses nothing.
FEW = 50


def value_kind(profile: ColumnProfile) -> tuple[str, str, bool]:
    """The kind, why, and whether that is in doubt.

    Words and codes are categories, and fractions are numbers. Whole numbers with many values are ids if the last word
    of their name is a thing (`id`, `app`), and amounts if any word is a quantity (`age`, `price`). Without such a word
    their spread decides, see `IntegerShape`.

    Args:
        profile: what the column's values look like.

    Example:
    >>> import polars as pl
    >>> value_kind(ColumnProfile("height", pl.Series([170, 181] + list(range(150, 210)))))
    ('numeric', '', False)
    """
    if profile.is_list:
        return ("vector" if profile.is_fraction and profile.has_one_length else "sequence"), "", False
    if not profile.is_number:
        return ("sequence" if profile.is_text and profile.separator else "categorical"), "", False
    if profile.is_fraction:
        return "numeric", "", False
    if profile.distinct <= FEW or profile.has_leading_zeros:
        return "categorical", "", False
    names = words(profile.name)
    if names and names[-1] in THINGS.split():
        return "categorical", "", False
    if among(profile.name, QUANTITIES):
        return "numeric", "", False
    shape = profile.integer_shape
    if shape is None or shape.is_id:
        note = "whole numbers that look like ids" if shape and shape.is_doubtful else ""
        return "categorical", f"{note}; numeric, if they are amounts" if note else "", bool(note)
    note = "whole numbers that look like amounts; categorical, if they are ids" if shape.is_doubtful else ""
    return "numeric", note, bool(note)
