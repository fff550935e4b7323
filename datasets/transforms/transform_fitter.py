"""Fitting of a table's transforms, chunk by chunk."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from ...schema import Schema, Task
from ..columns import CategoricalColumn, Column, NumericColumn, SequenceColumn, VectorColumn
from .missing_numbers import missing_integers, missing_numbers
from .numeric_transform import NumericTransform, apply_function, known_numbers
from .raw_values import as_float32, as_int64, as_strings
from .running_moments import RunningMoments
from .sequence_transform import SequenceTransform, split_tokens
from .table_transforms import TableTransforms, Transform, raw_dtypes
from .token_counts import TokenCounts
from .token_spelling import TokenSpelling
from .vector_transform import VectorTransform
from .vocabulary_transform import VocabularyTransform, integer_tokens

ChunkSummary = dict[str, RunningMoments | pl.DataFrame]


class TransformFitter:
    """Fit `TableTransforms` to chunks of training rows.

    Args:
        columns: column specs; names are distinct.
        tasks: the outcomes, for the schema.

    Example:
    >>> from grouprank.schema import Task
    >>> fitter = TransformFitter([CategoricalColumn("os", "user")], [Task("click")])
    >>> fitter.update(pl.DataFrame({"os": ["a", "b", "a"]}))
    >>> fitter.finish().columns["os"].tokens.tolist()
    ['a', 'b']
    """

    def __init__(self, columns: Iterable[Column], tasks: Sequence[Task]) -> None:
        self._columns = tuple(columns)
        self._tasks = tuple(tasks)
        Schema(
            [column.feature(1) for column in self._columns], self._tasks
        )  # repeated names fail here, not after a pass
        raw_dtypes({column.name: (column.raw_name, column.dtype) for column in self._columns})
        self._vocabularies: dict[str, np.ndarray] = {}
        self._integers: dict[str, bool] = {}
        self._owners = {
            c.name: self._owner(c) for c in self._columns if isinstance(c, CategoricalColumn | SequenceColumn)
        }
        self._moments = {c.name: RunningMoments() for c in self._columns if isinstance(c, NumericColumn)}
        self._counts = {owner.name: TokenCounts() for owner in self._owners.values()}

    def _owner(self, column: CategoricalColumn | SequenceColumn) -> CategoricalColumn | SequenceColumn:
        """The column whose vocabulary a column uses: its own, unless it shares another's."""
        if not isinstance(column, SequenceColumn) or column.shares is None:
            return column
        owner = next(other for other in self._columns if other.name == column.shares)
        if not isinstance(owner, CategoricalColumn) or owner.dtype != "string":
            raise ValueError(
                f"Column {column.name!r} shares the vocabulary of {owner.name!r}, which must be a CategoricalColumn "
                f'with dtype="string", as the tokens of a sequence are. Received: {owner!r}.'
            )
        return owner

    def update(self, frame: pl.DataFrame) -> None:
        """Add a chunk of training rows with the raw columns."""
        self.add(self.summarize(frame))

    def summarize(self, frame: pl.DataFrame) -> ChunkSummary:
        """What a chunk of training rows adds. It changes nothing, so several threads may summarize chunks."""
        summary: ChunkSummary = {}
        for column in self._columns:
            values = frame[column.raw_name]
            if isinstance(column, NumericColumn):
                raw = as_float32(column.raw_name, values)
                numbers = apply_function(column.function, raw[known_numbers(raw, missing_numbers(column.missing))])
                summary[column.name] = RunningMoments.of(numbers)
            elif not isinstance(column, VectorColumn) and column.name in self._counts:
                summary[column.name] = TokenCounts.of(_tokens(column, values))
        return summary

    def add(self, summary: ChunkSummary) -> None:
        """Add a chunk's summary; in the order of the chunks, for the same result to the last bit."""
        for name, part in summary.items():
            if isinstance(part, RunningMoments):
                self._moments[name].add(part)
            else:
                self._counts[name].add(part)

    def finish(self) -> TableTransforms:
        """The transforms fitted to the chunks so far; a numeric column without any number is warned about."""
        self._vocabularies.clear()
        self._integers.clear()
        empty = [name for name, moments in self._moments.items() if not moments.count]
        if empty:
            warnings.warn(
                f"No training row has a finite number in {', '.join(map(repr, empty))}: the feature is 0 in every row. "
                "Look at how the column is read (its separator, decimal mark and kind), or leave it out.",
                stacklevel=2,
            )
        transforms = {column.name: self._transform(column) for column in self._columns}
        features = [column.feature(getattr(transforms[column.name], "vocabulary_size", 1)) for column in self._columns]
        return TableTransforms(Schema(features, self._tasks), transforms)

    def _vocabulary(self, owner: CategoricalColumn | SequenceColumn) -> np.ndarray:
        if owner.name not in self._vocabularies:
            counts = self._counts[owner.name]
            self._integers[owner.name] = counts.are_integers()
            spelling = TokenSpelling(owner.missing, self._integers[owner.name])
            tokens = counts.tokens(owner.min_count, owner.max_size, spelling)
            if isinstance(owner, SequenceColumn):
                tokens = tokens[tokens != ""]  # a piece that means missing takes no place
            self._vocabularies[owner.name] = tokens
        return self._vocabularies[owner.name]

    def _transform(self, column: Column) -> Transform:
        if isinstance(column, NumericColumn):
            moments = self._moments[column.name]
            numbers = missing_numbers(column.missing)
            return NumericTransform(column.raw_name, column.function, moments.mean, moments.std, numbers)
        if isinstance(column, VectorColumn):
            return VectorTransform(column.raw_name, column.dim)
        owner = self._owners[column.name]
        tokens = self._vocabulary(owner)
        integers = self._integers[owner.name]
        if isinstance(column, SequenceColumn):
            return SequenceTransform(column.raw_name, tokens, column.separator, column.length, column.missing, integers)
        missing = column.missing if column.dtype == "string" else missing_integers(column.missing)
        return VocabularyTransform(
            column.raw_name, column.dtype, tokens, column.divisor, column.modulo, missing, integers
        )


def _tokens(column: CategoricalColumn | SequenceColumn, values: pl.Series) -> pl.Series:
    spelling = TokenSpelling(column.missing)
    if isinstance(column, SequenceColumn):
        pieces = split_tokens(as_strings(column.raw_name, values), column.separator, spelling)
        return pieces.filter(pieces.list.len() > 0).explode()
    if column.dtype == "string":
        return spelling(as_strings(column.raw_name, values))
    integers = as_int64(column.raw_name, values)
    known = integers[~np.isin(integers, missing_integers(column.missing))]
    return pl.Series(integer_tokens(known, column.divisor, column.modulo))
