"""What a prepared table depends on, so that it can be recognised."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from .dataset import Dataset
from .kinds import Column

FORMAT = 2  # of the prepared folder: 2 has one file per split, 1 had one file per column


def fingerprint_of(dataset: Dataset) -> dict[str, Any]:
    """The dataset's columns, settings and files (by size and modification time) as JSON-like values."""
    files = [Path(path) for path in getattr(dataset, "files", ())]
    fingerprint = {
        "format": FORMAT,
        "dataset": dataset.name,
        "columns": [{"kind": type(column).__name__, **_arguments(column)} for column in dataset.columns],
        "tasks": [dataclasses.asdict(task) for task in dataset.tasks],
        "extras": dict(dataset.extras),
        "settings": dict(getattr(dataset, "settings", {})),
        "files": [{"name": f.name, "size": f.stat().st_size, "modified_ns": f.stat().st_mtime_ns} for f in files],
    }
    names = [c.name for c in dataset.columns] + [t.name for t in dataset.tasks]
    wrong = [name for name in dataset.extras if name in names or not name.isidentifier()]
    if wrong:
        raise ValueError(
            f"{dataset.name}: extras need names of their own, of letters, digits and underscores. Received: {wrong}."
        )
    as_read_back: dict[str, Any] = json.loads(json.dumps(fingerprint))  # tuples become lists
    return as_read_back


def _arguments(column: Column) -> dict[str, Any]:
    """A column's arguments; later ones only if they say something: folders of earlier versions are known again."""
    return {n: value for n, value in dataclasses.asdict(column).items() if value or n not in ("missing", "beside")}
