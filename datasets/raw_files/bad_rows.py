"""Malformed rows: skipped and counted up to a limit, then an error."""

from collections.abc import Iterable
from pathlib import Path


class BadRowError(ValueError):
    """A malformed row that may not be skipped.

    Args:
        path: the file.
        line: number of the line in it, counted from 1.
        problem: what is wrong, and how to mend it.

    Example:
    >>> str(BadRowError(Path("train.txt"), 7, "expected 40 fields."))
    'train.txt, line 7: expected 40 fields.'
    """

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(path, line, problem)
        self.line, self.problem = line, problem

    def __str__(self) -> str:
        return "{}, line {}: {}".format(*self.args)


class BadRows:
    """Count malformed rows and raise, with file, line and remedy, at the first one beyond the limit.

    Args:
        limit: rows that may be skipped.

    Example:
    >>> bad_rows = BadRows(limit=1)
    >>> bad_rows.add(Path("train.txt"), [(7, "expected 40 fields. Received: 38.")])
    >>> bad_rows.count
    1
    """

    def __init__(self, limit: int) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"`max_bad_rows` must be an integer of at least 0. Received: {limit!r}.")
        self.limit = limit
        self.count = 0

    def add(self, path: Path, problems: Iterable[tuple[int, str]]) -> None:
        """Add (1-based line number, what is wrong) pairs, one per row, in the order of the file."""
        for line, problem in problems:
            self.count += 1
            if self.count > self.limit:
                rows = "row" if self.count == 1 else "rows"
                raise BadRowError(
                    path,
                    line,
                    f"{problem} That makes {self.count} bad {rows}, and {self.limit} may be "
                    f"skipped. "
                    "Mend the file, or allow more with --max-bad-rows (`max_bad_rows=` in Python).",
                )
