"""From raw public files to batches: readers, fitted transforms, prepared columns and loaders."""

from .avazu import Avazu
from .batch_loader import BatchLoader
from .columns import CategoricalColumn, Column, NumericColumn, SequenceColumn, VectorColumn
from .criteo_dac import CriteoDAC
from .dataset import SPLITS, Dataset
from .kuairand import KuaiRandPure
from .numeric_transform import NumericTransform
from .prepare import prepare
from .prepared_table import PreparedTable
from .sequence_transform import SequenceTransform
from .synthetic import SyntheticAds
from .table_transforms import TableTransforms
from .vector_transform import VectorTransform
from .vocabulary_transform import VocabularyTransform

__all__ = [
    "SPLITS",
    "Avazu",
    "BatchLoader",
    "CategoricalColumn",
    "Column",
    "CriteoDAC",
    "Dataset",
    "KuaiRandPure",
    "NumericColumn",
    "NumericTransform",
    "PreparedTable",
    "SequenceColumn",
    "SequenceTransform",
    "SyntheticAds",
    "TableTransforms",
    "VectorColumn",
    "VectorTransform",
    "VocabularyTransform",
    "prepare",
]
