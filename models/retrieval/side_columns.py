"""The columns of one side of a table."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...schema import Schema, Sequence, Task
from ..checks.host_columns import as_host_array, frame_columns, on_host
from ..some_batches import some_batches


def side_schema(schema: Schema, *sides: str) -> Schema:
    """A schema of the features of some sides alone, which share no rows with others.

    Args:
        schema: the table's schema.
        *sides: `"user"`, `"ad"` or `"context"`.

    Example:

    >>> from grouprank import Categorical, Schema, Sequence, Task
    >>> history = Sequence("history", 9, 3, shares="ad_id")
    >>> side_schema(Schema([history, Categorical("ad_id", 9)], [Task("click")]), "user").features[0].shares is None
    True
    """
    features = schema.on_side(*sides)
    alone = [dataclasses.replace(f, shares=None) if isinstance(f, Sequence) else f for f in features]
    return Schema(alone, [Task(task.name) for task in schema.tasks])


def side_columns(schema: Schema, x: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a schema lists, those on the host as arrays and checked.

    Args:
        schema: what is expected.
        x: dict of columns; it may hold others than those of the schema.

    Example:

    >>> from grouprank import Numeric, Schema, Task
    >>> side_columns(Schema([Numeric("bid")], [Task("click")]), {"bid": [1.0, 2.0], "note": ["a", "b"]})
    {'bid': array([1., 2.])}
    """
    x = frame_columns(x)
    missing = [name for name in schema.feature_names if name not in x]
    if missing:
        raise ValueError(
            f"The columns {missing} are missing. Expected: {schema.feature_names}. Received: {sorted(map(str, x))}."
        )
    columns = {name: x[name] for name in schema.feature_names}
    if not all(on_host(values) for values in columns.values()):
        schema.check({name: as_host_array(values) for name, values in columns.items()})
        return columns
    schema.check(columns)
    return {f.name: np.asarray(columns[f.name]).reshape((-1, *f.shape)) for f in schema.features}


def batches(x: Any, y: Any = None, max_rows: int | None = None) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """`(columns, targets)` of columns in one piece, or of a loader's batches.

    Args:
        x: dict of columns, or an iterable of batches that start with one.
        y: targets that belong to columns. Defaults to `None`.
        max_rows: if given, batches of about twice as many rows, spread over a `PyDataset`.
            Defaults to `None`.

    Example:

    >>> [columns["bid"] for columns, targets in batches(iter([({"bid": 1}, None), ({"bid": 2}, None)]))]
    [1, 2]
    """
    x = frame_columns(x)
    if isinstance(x, Mapping):
        yield x, y
        return
    for batch in some_batches(x, None if max_rows is None else 2 * max_rows):
        yield (batch, None) if isinstance(batch, Mapping) else (batch[0], batch[1] if len(batch) > 1 else None)
