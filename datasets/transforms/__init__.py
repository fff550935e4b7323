"""Fitted transforms: raw columns in, model inputs out, the same in training and serving."""

from .numeric_transform import NumericTransform
from .sequence_transform import SequenceTransform
from .table_transforms import TableTransforms
from .transform_fitter import TransformFitter
from .vector_transform import VectorTransform
from .vocabulary_transform import VocabularyTransform

__all__ = [
    "NumericTransform",
    "SequenceTransform",
    "TableTransforms",
    "TransformFitter",
    "VectorTransform",
    "VocabularyTransform",
]
