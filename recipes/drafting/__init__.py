"""A first description of a table, guessed from the names and values of its columns."""

from .column_draft import ColumnDraft
from .column_profile import ColumnProfile, profile_columns
from .draft_columns import ask, draft_columns
from .draft_description import REVIEW, to_yaml
from .integer_shape import IntegerShape

__all__ = [
    "REVIEW",
    "ColumnDraft",
    "ColumnProfile",
    "IntegerShape",
    "ask",
    "draft_columns",
    "profile_columns",
    "to_yaml",
]
