"""Rows to compare a SavedModel on when the caller has none."""

from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..schema import Categorical, Schema, Sequence


def sample_rows(transforms: TableTransforms | None, schema: Schema, rows: int = 256, seed: int = 0) -> dict[str, Any]:
    """Raw columns from the vocabularies, with unseen tokens and missing numbers; without transforms, model inputs."""
    generator = np.random.default_rng(seed)
    if transforms is None:
        return {f.name: _inputs(f, rows, generator) for f in schema.features}
    # Later features of one raw column overwrite earlier ones, which is fine for a sample.
    return {transform.raw: _raw(transform, rows, generator) for transform in transforms.columns.values()}


def _inputs(feature: Any, rows: int, generator: np.random.Generator) -> np.ndarray:
    shape = (rows, *feature.shape)
    if isinstance(feature, Categorical | Sequence):
        return generator.integers(0, feature.vocabulary_size, shape).astype("int32")
    return generator.normal(size=shape).astype("float32")


def _raw(transform: Any, rows: int, generator: np.random.Generator) -> np.ndarray:
    if transform.kind == "vector":
        return generator.normal(size=(rows, transform.dim)).astype("float32")
    if transform.kind == "numeric":
        changed = generator.normal(transform.mean, transform.std, rows)
        values = np.sign(changed) * np.expm1(np.abs(changed)) if transform.function == "log1p" else changed
        return np.where(generator.random(rows) < 0.1, np.nan, values).astype("float32")
    if transform.dtype == "int64":
        known = transform.tokens if len(transform.tokens) else np.array([0])
        tokens = generator.choice(known, rows) * transform.divisor
        return np.where(generator.random(rows) < 0.1, np.iinfo("int64").max, tokens).astype("int64")
    known = np.array([*transform.tokens, "never seen in training"], dtype=object)
    if transform.kind == "categorical":
        return generator.choice(known, rows)
    lists = generator.choice(known, (rows, transform.length))
    return np.array([transform.separator.join(pieces) for pieces in lists], dtype=object)
