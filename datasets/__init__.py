"""From raw public files to batches: readers, fitted transforms, prepared columns and loaders."""

from .avazu import Avazu
from .batch_loader import BatchLoader
from .columns import CategoricalColumn, Column, NumericColumn, SequenceColumn, VectorColumn
from .criteo_dac import CriteoDAC
from .dataset import SPLITS, Dataset
from .kuairand import KuaiRandPure
from .prepare import prepare
from .prepared_table import PreparedTable
from .synthetic import SyntheticAds
from .transforms.numeric_transform import NumericTransform
from .transforms.sequence_transform import SequenceTransform
from .transforms.table_transforms import TableTransforms
from .transforms.vector_transform import VectorTransform
from .transforms.vocabulary_transform import VocabularyTransform

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
