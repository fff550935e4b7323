"""All fitted transforms of a table with its schema; they turn raw columns into model inputs."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from ...schema import Categorical, Schema, Sequence
from ...schema.features import with_fingerprint
from ..kinds import Transform
from .boosted_leaves import BoostedLeaves
from .growth import Growth
from .raw_values import Encoded
from .transform_files import read_transforms, write_transforms
from .unknown_tokens import UnknownTokens, UnknownTokenWatch


class TableTransforms:
    """Turns raw columns into model inputs, exactly as in training.

    It is saved beside the prepared columns and exported with the model, so that training and serving
    cannot disagree: `transforms.json` is for reading, each vocabulary is a text file of one token per line. `extended`
    takes in the tokens of a further period of rows, where ids grow (see `GrowingColumn`).

    Args:
        schema: the `Schema` of the features; `self.schema` has the transforms' fingerprints filled in.
        columns: feature name to its fitted transform, one for every feature of the schema that is made of a raw
            column.
        oov_share: share of the training rows' tokens that are out of the vocabulary, by feature. A feature whose share
            in later rows is far above it is warned about once, since a column that changed its spelling is unknown
            throughout. Defaults to `None`, not known.
        leaves: boosted trees over the other features, whose leaves are the remaining features (see
            `with_boosted_leaves`). Defaults to `None`.

    Raises:
        ValueError: if features and transforms differ, or two features read one raw column as different types.

    Example:
    >>> from grouprank.datasets import VocabularyTransform
    >>> from grouprank.schema import Categorical, Schema, Task
    >>> tokens = np.array(["android"], dtype=object)
    >>> transforms = TableTransforms(
    ...     Schema([Categorical("os", 2, side="user")], [Task("click")]),
    ...     {"os": VocabularyTransform("device_os", "string", tokens)},
    ... )
    >>> transforms.raw_columns
    {'device_os': 'string'}
    >>> transforms({"device_os": np.array([b"android", b"other"])})
    {'os': array([1, 0], dtype=int32)}
    """

    def __init__(
        self,
        schema: Schema,
        columns: Mapping[str, Transform],
        oov_share: Mapping[str, float] | None = None,
        leaves: BoostedLeaves | None = None,
    ) -> None:
        made = [*columns, *(leaves.names if leaves else ())]
        if sorted(schema.feature_names) != sorted(made):
            raise ValueError(
                f"A schema and its transforms must have the same features. Schema: {schema.feature_names}. "
                f"Transforms: {made}."
            )
        if leaves and (absent := [name for name in leaves.reads if name not in columns]):
            raise ValueError(
                f"The boosted leaves {list(leaves.names)} are made of features that the schema lacks: {absent}. Keep "
                "these features, or leave out the leaves."
            )
        self.leaves = leaves
        self.columns: Mapping[str, Transform] = MappingProxyType(
            {name: columns[name] for name in schema.feature_names if name in columns}
        )
        self.raw_columns = raw_dtypes(
            {name: (transform.raw, transform.dtype) for name, transform in self.columns.items()}
        )
        sizes = {name: transform.vocabulary_size for name, transform in self.columns.items()}
        for name, fitted in {**sizes, **(leaves.vocabulary_sizes if leaves else {})}.items():
            size = getattr(schema[name], "vocabulary_size", None)
            if size != fitted:
                raise ValueError(
                    f"Feature {name!r}: the schema has vocabulary_size={size}, its transform {fitted}. Use the schema "
                    "fitted with the transforms."
                )
        fingerprints = {name: transform.fingerprint for name, transform in self.columns.items()}
        fingerprints |= dict.fromkeys(leaves.names, leaves.fingerprint) if leaves else {}
        features = [with_fingerprint(f, fingerprints[f.name]) for f in schema.features]
        self.schema = Schema(features, schema.tasks)
        self.oov_share: Mapping[str, float] = MappingProxyType(
            {name: share for name, share in (oov_share or {}).items() if name in columns}
        )
        self._watch = UnknownTokenWatch(self.columns, self.oov_share)

    def __reduce__(self) -> tuple[Any, ...]:
        return TableTransforms, (self.schema, dict(self.columns), dict(self.oov_share), self.leaves)

    @property
    def sources(self) -> dict[str, str]:
        """Raw column of each feature that is made of one."""
        return {name: transform.raw for name, transform in self.columns.items()}

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """Number of ids of each feature that has ids, id 0 included."""
        sizes = {name: transform.vocabulary_size for name, transform in self.columns.items()}
        known = {name: size for name, size in sizes.items() if size is not None}
        return known | (self.leaves.vocabulary_sizes if self.leaves else {})

    def encode(self, table: pl.DataFrame | Mapping[str, Any]) -> dict[str, Encoded]:
        """As `__call__`, with the number of replaced values of each feature."""
        _check_columns(table, list(self.raw_columns))
        encoded = {name: transform.encode(table[transform.raw]) for name, transform in self.columns.items()}
        rows = {name: len(values.array) for name, values in encoded.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"All raw columns must have the same number of rows. Received, by feature: {rows}.")
        if self.leaves:
            encoded |= self.leaves.encode({name: values.array for name, values in encoded.items()})
        return encoded

    def __call__(self, table: pl.DataFrame | Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Encode raw columns.

        Args:
            table: a polars frame, or raw column name to array. Strings may be `str`, bytes, integers (as their
                decimal text) or `None` (missing, as `""`). Columns that no feature reads are ignored.

        Returns:
            Feature name to array: int32 ids, float32 numbers.

        Warns:
            UserWarning: once per feature, where far more of the first tokens are unknown than were in training.
        """
        encoded = self.encode(table)
        for found in self._watch.look(table, encoded):
            warnings.warn(str(found), stacklevel=2)
        return {name: values.array for name, values in encoded.items()}

    def unknown_tokens(self, table: pl.DataFrame | Mapping[str, Any]) -> list[UnknownTokens]:
        """The features of which far more tokens of some raw rows are unknown than were in training.

        Args:
            table: as for a call.
        """
        return UnknownTokenWatch(self.columns, self.oov_share).look(table, self.encode(table))

    def extended(
        self, rows: pl.DataFrame | Mapping[str, Any] | Iterable[pl.DataFrame | Mapping[str, Any]]
    ) -> tuple["TableTransforms", Growth]:
        """The transforms after a further period of rows, which gives new tokens ids; these stay as they are.

        Only the features of growing ids and the sequences that share them change. The vocabularies and moments of the
        others remain as they were fitted. `oov_share` becomes the share of the period's tokens that had no id before
        it, since the rows of the next period will have about as many. A model goes on with `gr.models.grow`.

        Args:
            rows: all rows of the period, as for a call, or chunks of them. Only the columns of growing ids and of the
                sequences that share them are read.

        Returns:
            The transforms, and what changed in each feature that owns growing ids.

        Raises:
            ValueError: if a raw column is missing or of the wrong type, or there are no chunks.

        Example:
        >>> from grouprank.datasets import GrowingColumn
        >>> from grouprank.datasets.transforms.transform_fitter import TransformFitter
        >>> from grouprank.schema import Task
        >>> fitter = TransformFitter([GrowingColumn("ad", "ad", capacity=9)], [Task("click")])
        >>> fitter.update(pl.DataFrame({"ad": ["a", "b"]}))
        >>> transforms, growth = fitter.finish().extended({"ad": ["b", "c"]})
        >>> transforms({"ad": ["a", "b", "c"]}), growth["ad"].new, transforms.oov_share["ad"]
        ({'ad': array([1, 2, 3], dtype=int32)}, array([3], dtype=int32), 0.5)
        """
        growing = {name: transform for name, transform in self.columns.items() if transform.grows}
        if not growing:
            return self, Growth({})
        followers = self._followers(growing)
        read = list(dict.fromkeys(self.columns[name].raw for name in (*growing, *followers)))
        summaries: dict[str, Any] = {}
        unknown = {name: [0, 0] for name in followers}
        for chunk in [rows] if isinstance(rows, pl.DataFrame | Mapping) else rows:
            _check_columns(chunk, read)
            for name, transform in growing.items():
                part = transform.summarize(chunk[transform.raw])
                if name in summaries:
                    summaries[name].add(part)
                else:
                    summaries[name] = part
            for name, counts in unknown.items():
                encoded = self.columns[name].encode(chunk[self.columns[name].raw])
                counts[0] += encoded.replaced
                counts[1] += encoded.total
        if not summaries:
            raise ValueError("`rows` has no chunk of rows. Pass the rows of a period, or an iterable of its chunks.")
        columns, found = dict(self.columns), {}
        for name, transform in growing.items():
            columns[name], found[name] = transform.extended(summaries[name])
        shares = {name: growth.unknown_share for name, growth in found.items() if growth.unknown_share is not None}
        shares |= {name: replaced / total for name, (replaced, total) in unknown.items() if total}
        return self._with(columns, dict(self.oov_share) | shares), Growth(found)

    def with_capacity(self, capacities: Mapping[str, int]) -> "TableTransforms":
        """The transforms with room for more tokens, where ids grow; a model goes on with `gr.models.grow`.

        Args:
            capacities: number of tokens by feature, at least as many as before. A sequence that shares the ids of one
                is given the same room.

        Raises:
            ValueError: if a feature does not own growing ids, or its capacity would become smaller.

        Example:
        ```python
        transforms = transforms.with_capacity({"ad_id": 2_000_000})
        ```
        """
        growing = [name for name, transform in self.columns.items() if transform.grows]
        if wrong := [name for name in capacities if name not in growing]:
            raise ValueError(
                f"Only a feature that owns growing ids has a capacity. Received: {wrong}. Features that do: {growing}."
            )
        columns = {name: self.columns[name].with_capacity(capacity) for name, capacity in capacities.items()}
        return self._with({**self.columns, **columns}, self.oov_share)

    def _followers(self, growing: Iterable[str]) -> dict[str, str]:
        """The owner of each feature that shares growing ids."""
        owners = {feature.name: getattr(feature, "shares", None) for feature in self.schema.features}
        return {name: owner for name, owner in owners.items() if owner is not None and owner in growing}

    def _with(self, columns: Mapping[str, Transform], oov_share: Mapping[str, float]) -> "TableTransforms":
        """Other transforms of the same features, of which those that share ids follow their owners."""
        grown = [name for name, transform in columns.items() if transform.grows]
        followed = {name: columns[name].following(columns[owner]) for name, owner in self._followers(grown).items()}
        columns = {**columns, **followed}
        features = [
            dataclasses.replace(feature, vocabulary_size=columns[feature.name].vocabulary_size or 1, vocabulary=None)
            if isinstance(feature, Categorical | Sequence) and feature.name in columns
            else feature
            for feature in self.schema.features
        ]
        return TableTransforms(Schema(features, self.schema.tasks), columns, oov_share, self.leaves)

    def with_leaves(self, leaves: BoostedLeaves, side: str) -> "TableTransforms":
        """The transforms with boosted trees over their features, whose leaves are further features.

        Args:
            leaves: the trees.
            side: side of the leaves.
        """
        features = [Categorical(name, size, side=side) for name, size in leaves.vocabulary_sizes.items()]
        schema = Schema([*self.schema.features, *features], self.schema.tasks)
        return TableTransforms(schema, self.columns, self.oov_share, leaves)

    def save(self, folder: str | Path) -> None:
        """Write `transforms.json`, the vocabularies, the frames and the boosted trees into a folder."""
        write_transforms(Path(folder), self.schema, self.columns, self.oov_share, self.leaves)

    @classmethod
    def load(cls, folder: str | Path) -> "TableTransforms":
        """Inverse of `save`.

        Raises:
            ValueError: if a file is missing, of another version, truncated, changed, or outside of the folder.
        """
        return cls(*read_transforms(Path(folder)))


def raw_dtypes(features: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Raw column to dtype, each once, from feature to (raw column, dtype); two dtypes for one column are an error."""
    dtypes: dict[str, str] = {}
    for name, (raw, dtype) in features.items():
        if dtypes.setdefault(raw, dtype) != dtype:
            raise ValueError(
                f"Feature {name!r} reads the raw column {raw!r} as {dtype}, and an earlier feature reads it as "
                f"{dtypes[raw]}. A raw column is one input of the serving signature and has one type: use the same "
                "dtype, or drop a feature."
            )
    return dtypes


def _check_columns(table: Any, needed: list[str]) -> None:
    """Raise unless a table has the raw columns that are needed."""
    present = table.columns if isinstance(table, pl.DataFrame) else table
    missing = [raw for raw in needed if raw not in present]
    if missing:
        raise ValueError(f"Raw columns are missing: {missing}. Expected: {needed}. Received: {list(present)}.")
