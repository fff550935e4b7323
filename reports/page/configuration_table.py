"""The settings of a run as a table."""

import json
from collections.abc import Mapping
from typing import Any

from .content import Column, Row, Table


def configuration_table(settings: Mapping[str, Any]) -> Table | None:
    """One row per setting, nested ones by dotted name, lists and dicts as JSON; `None` without settings.

    Args:
        settings: by name.

    Example:

    >>> [row.cells for row in configuration_table({"model": {"sizes": [8, 4]}}).rows]
    [('model.sizes', '[8, 4]')]
    """
    rows = tuple(Row((name, value)) for name, value in _flat(settings))
    columns = (Column("setting", text=True, wide=True), Column("value", text=True, wide=True))
    return Table("Configuration", columns, rows) if rows else None


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{above}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            found.append((f"{above}{name}", shown))
    return found
