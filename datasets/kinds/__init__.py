"""Kinds of features, one module each: raw column, fit, encoding, and the same in TensorFlow (see `Column`)."""

from .bucketized import BucketizedColumn, BucketizedTransform
from .categorical import CategoricalColumn, VocabularyTransform
from .growing import GrowingColumn, GrowingTransform
from .hashed import HashedColumn, HashedTransform
from .hashed_sequence import HashedSequenceColumn, HashedSequenceTransform
from .kind import Column, Transform
from .label import LabelColumn
from .numeric import NumericColumn, NumericTransform
from .sequence import SequenceColumn, SequenceTransform
from .vector import VectorColumn, VectorTransform
from .weighted import WeightedColumn, WeightedTransform, WeightsTransform

# What a YAML file and `transforms.json` call each kind. A new kind is one module and its line here.
_KINDS: tuple[tuple[type[Column], *tuple[type[Transform], ...]], ...] = (
    (NumericColumn, NumericTransform),
    (CategoricalColumn, VocabularyTransform),
    (BucketizedColumn, BucketizedTransform),
    (HashedColumn, HashedTransform),
    (GrowingColumn, GrowingTransform),
    (SequenceColumn, SequenceTransform),
    (HashedSequenceColumn, HashedSequenceTransform),
    (WeightedColumn, WeightedTransform, WeightsTransform),
    (VectorColumn, VectorTransform),
)
COLUMNS = {column.kind: column for column, *_ in _KINDS}
TRANSFORMS = {transform.kind: transform for _, *transforms in _KINDS for transform in transforms}

__all__ = [
    "COLUMNS",
    "TRANSFORMS",
    "BucketizedColumn",
    "BucketizedTransform",
    "CategoricalColumn",
    "Column",
    "GrowingColumn",
    "GrowingTransform",
    "HashedColumn",
    "HashedSequenceColumn",
    "HashedSequenceTransform",
    "HashedTransform",
    "LabelColumn",
    "NumericColumn",
    "NumericTransform",
    "SequenceColumn",
    "SequenceTransform",
    "Transform",
    "VectorColumn",
    "VectorTransform",
    "VocabularyTransform",
    "WeightedColumn",
    "WeightedTransform",
    "WeightsTransform",
]
