"""Fitting of a table's transforms, chunk by chunk."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from ...schema import Schema, Task
from ..kinds import Column, Transform
from .table_transforms import TableTransforms, raw_dtypes

ChunkSummary = dict[str, Any]


class TransformFitter:
    """Fit `TableTransforms` to chunks of training rows.

    Args:
        columns: column specs; names are distinct.
        tasks: the outcomes, for the schema.

    Example:
    >>> from grouprank.datasets import CategoricalColumn
    >>> from grouprank.schema import Task
    >>> fitter = TransformFitter([CategoricalColumn("os", "user")], [Task("click")])
    >>> fitter.update(pl.DataFrame({"os": ["a", "b", "a"]}))
    >>> fitter.finish().columns["os"].tokens.tolist()
    ['a', 'b']
    """

    def __init__(self, columns: Iterable[Column], tasks: Sequence[Task]) -> None:
        self._columns = tuple(columns)
        self._tasks = tuple(tasks)
        # What does not fit together fails here, not after a pass.
        for column in self._columns:
            for owner in self._columns:
                if owner.name == column.owner:
                    column.check_owner(owner)
        Schema([feature for column in self._columns for feature in column.features(1)], self._tasks)
        raw_dtypes({column.name: (column.raw_name, column.dtype) for column in self._columns})
        self._summaries = {column.name: column.empty() for column in self._columns}

    def update(self, frame: pl.DataFrame) -> None:
        """Add a chunk of training rows with the raw columns."""
        self.add(self.summarize(frame))

    def summarize(self, frame: pl.DataFrame) -> ChunkSummary:
        """What a chunk of training rows adds. It changes nothing, so several threads may summarize chunks."""
        return {
            column.name: column.summarize(frame[column.raw_name])
            for column in self._columns
            if self._summaries[column.name] is not None
        }

    def add(self, summary: ChunkSummary) -> None:
        """Add the summary of a chunk, or of many; in any order."""
        for name, part in summary.items():
            self._summaries[name].add(part)

    @property
    def summary(self) -> ChunkSummary:
        """The sum of the chunks so far, for `add` of another fitter."""
        return {name: summary for name, summary in self._summaries.items() if summary is not None}

    def finish(self) -> TableTransforms:
        """The transforms fitted to the chunks so far; a numeric column without any number is warned about."""
        empty = [column.name for column in self._columns if column.lacks_numbers(self._summaries[column.name])]
        if empty:
            warnings.warn(
                f"No training row has a finite number in {', '.join(map(repr, empty))}: the feature is 0 in every row. "
                "Look at how the column is read (its separator, decimal mark and kind), or leave it out.",
                stacklevel=2,
            )
        shared = {column.owner for column in self._columns}
        transforms: dict[str, Transform] = {}
        for column in sorted(self._columns, key=lambda column: column.owner is not None):  # owners first
            owner = None if column.owner is None else transforms[column.owner]
            transforms |= column.transforms(self._summaries[column.name], owner, column.name in shared)
        sizes = {name: transform.vocabulary_size or 1 for name, transform in transforms.items()}
        features = [feature for column in self._columns for feature in column.features(sizes[column.name])]
        return TableTransforms(Schema(features, self._tasks), transforms)
