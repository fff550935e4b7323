"""How far what a SavedModel computes of raw rows is from what training saw."""

import dataclasses
from pathlib import Path
from typing import Any

from ..datasets.transforms.unknown_tokens import UnknownTokens


@dataclasses.dataclass(frozen=True)
class SkewReport:
    """Result of `check_skew`.

    Args:
        path: the version folder.
        rows: number of raw rows.
        differing: number of rows that differ, by feature; features that agree are left out.
        first: the first difference: feature, raw column, row, raw value, and what was prepared and served; `None`
            when all are equal bit for bit.
        max_score_difference: largest difference of a probability, NaN when no scores were compared.
        unknown: raw columns of which far fewer tokens are known than in training. Defaults to `()`.

    Example:

    >>> print(SkewReport(Path("m/1"), 100, {}, None, 2e-7))
    m/1: 100 raw rows give the prepared columns bit for bit; scores differ by 2.0e-07 at most
    """

    path: Path
    rows: int
    differing: dict[str, int]
    first: dict[str, Any] | None
    max_score_difference: float
    unknown: tuple[UnknownTokens, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every column is equal bit for bit."""
        return not self.differing

    def __str__(self) -> str:
        return "\n".join([self._compared(), *map(str, self.unknown)])

    def _compared(self) -> str:
        scores = f"scores differ by {self.max_score_difference:.1e} at most"
        if self.first is None:
            return f"{self.path}: {self.rows} raw rows give the prepared columns bit for bit; {scores}"
        found = self.first
        return (
            f"{self.path}: of {self.rows} raw rows {self.differing} differ. First: feature {found['feature']!r} of the "
            f"raw column {found['column']!r}, row {found['row']}: raw {found['raw']!r}, "
            f"prepared {found['prepared']!r}, served {found['served']!r}; {scores}"
        )
