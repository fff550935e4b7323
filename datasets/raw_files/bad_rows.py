"""Malformed rows: skipped and counted up to a limit, then an error."""

from collections.abc import Iterable
from pathlib import Path


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
                raise ValueError(
                    f"{path}, line {line}: {problem} That makes {self.count} bad {rows}, and {self.limit} may be "
                    f"skipped. "
                    "Mend the file, or allow more with --max-bad-rows (`max_bad_rows=` in Python)."
                )
