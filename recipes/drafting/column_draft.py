"""What a column of a table is guessed to be."""

import dataclasses

from .column_profile import ColumnProfile


@dataclasses.dataclass
class ColumnDraft:
    """What a column is guessed to be.

    Args:
        profile: what its values look like.
        role: `"feature"`, `"task"`, `"time"` or `"left out"`.
        name: name of the feature or task, valid as a model input.
        kind: kind of a feature.
        side: side of a feature, `None` where its name tells none; it is drafted as context.
        given: parent of a task, or `None`.
        note: the reason, for the reader of the draft.
        doubtful: whether a person should look at it.

    Example:
    >>> import polars as pl
    >>> profile = ColumnProfile("user id", pl.Series(["a", "b", "a"]))
    >>> ColumnDraft(profile, "feature", "user_id").kind
    'categorical'
    """

    profile: ColumnProfile
    role: str
    name: str = ""
    kind: str = "categorical"
    side: str | None = None
    given: str | None = None
    note: str = ""
    doubtful: bool = False

    def leave_out(self, why: str, doubtful: bool = False) -> None:
        """Make it a column that is left out."""
        self.role, self.note, self.doubtful = "left out", why, doubtful
