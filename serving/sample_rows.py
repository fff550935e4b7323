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
    # If several features read one raw column, the first one draws; that is good enough for a sample.
    first = {transform.raw: transform for transform in reversed(list(transforms.columns.values()))}
    return {raw: transform.sample(rows, generator) for raw, transform in first.items()}


def _inputs(feature: Any, rows: int, generator: np.random.Generator) -> np.ndarray:
    shape = (rows, *feature.shape)
    if isinstance(feature, Categorical | Sequence):
        return generator.integers(0, feature.vocabulary_size, shape).astype("int32")
    return generator.normal(size=shape).astype("float32")
