"""What a delta holds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class DeltaReport:
    """Result of `export_delta`.

    Args:
        path: the delta's folder.
        base: the version folder that it starts from.
        table_rows: number of changed rows of embedding tables.
        all_table_rows: number of their rows.
        variables: number of changed variables that are not tables.
        lines: number of changed lines by vocabulary.
        size: bytes of the delta.
        base_size: bytes of the version that it starts from.

    Example:

    >>> print(DeltaReport(Path("d/4"), Path("m/3"), 10, 1000, 7, {"ad_id.txt": 2}, 12_000, 900_000))
    d/4: from m/3 on, 10 of 1,000 rows of tables, 7 other variables and 2 lines of vocabularies changed; 0.012 MB, \
1.3 % of the version
    """

    path: Path
    base: Path
    table_rows: int
    all_table_rows: int
    variables: int
    lines: Mapping[str, int]
    size: int
    base_size: int

    def __str__(self) -> str:
        return (
            f"{self.path}: from {self.base} on, {self.table_rows:,} of {self.all_table_rows:,} rows of tables, "
            f"{self.variables} other variables and {sum(self.lines.values()):,} lines of vocabularies changed; "
            f"{self.size / 1e6:.3f} MB, {100 * self.size / max(self.base_size, 1):.1f} % of the version"
        )
