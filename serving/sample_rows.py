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
        return _mixed(values, np.array([np.nan, *transform.missing]), generator).astype("float32")
    if transform.dtype == "int64":
        known = transform.tokens if len(transform.tokens) else np.array([0])
        unknown = np.array([np.iinfo("int64").max, *transform.missing], "int64")
        return _mixed(generator.choice(known, rows) * transform.divisor, unknown, generator).astype("int64")
    shape = (rows,) if transform.kind == "categorical" else (rows, transform.length)
    strings = _strings(transform, shape, generator)
    if transform.kind == "categorical":
        return strings
    return np.array([transform.separator.join(pieces) for pieces in strings], dtype=object)


def _strings(transform: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Tokens, a few of them with decimals where these are dropped, that mean missing or were never seen."""
    unknown = np.array(["never seen in training", *transform.missing], dtype=object)
    known = transform.tokens if len(transform.tokens) else unknown
    tokens = _mixed(generator.choice(known, shape), unknown, generator)
    decimals = transform.integers & (generator.random(shape) < 0.1)
    return np.where(decimals & (tokens != ""), tokens + ".0", tokens)


def _mixed(values: np.ndarray, others: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The values, a tenth of them replaced."""
    return np.where(generator.random(values.shape) < 0.1, generator.choice(others, values.shape), values)
