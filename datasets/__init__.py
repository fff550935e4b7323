"""From raw public files to batches: readers, fitted transforms, prepared columns and loaders."""

from .ali_ccp import AliCCP
from .aliexpress import AliExpress
from .avazu import Avazu
from .batch_loader import BatchLoader
from .boosting import with_boosted_leaves
from .criteo_attribution import CriteoAttribution
from .criteo_conversion_log import CriteoConversionLog
from .criteo_dac import CriteoDAC
from .criteo_terabyte import CriteoTerabyte
from .dataset import SPLITS, Dataset
from .fuxictr import FuxiCTR
from .history import HistoryState, histories
from .kinds import (
    BucketizedColumn,
    BucketizedTransform,
    CategoricalColumn,
    Column,
    GrowingColumn,
    GrowingTransform,
    HashedColumn,
    HashedSequenceColumn,
    HashedSequenceTransform,
    HashedTransform,
    NumericColumn,
    NumericTransform,
    SequenceColumn,
    SequenceTransform,
    VectorColumn,
    VectorTransform,
    VocabularyTransform,
    WeightedColumn,
    WeightedTransform,
    WeightsTransform,
)
from .kuairand import KuaiRandPure
from .kuairand_funnel import KuaiRandFunnel
from .kuairand_histories import kuairand_histories
from .prepare import prepare
from .prepared_table import PreparedTable
from .synthetic import SyntheticAds
from .table_description import TableDescription
from .tabular import Tabular
from .tenrec import Tenrec
from .transforms.growth import Growth
from .transforms.table_transforms import TableTransforms

__all__ = [
    "SPLITS",
    "AliCCP",
    "AliExpress",
    "Avazu",
    "BatchLoader",
    "BucketizedColumn",
    "BucketizedTransform",
    "CategoricalColumn",
    "Column",
    "CriteoAttribution",
    "CriteoConversionLog",
    "CriteoDAC",
    "CriteoTerabyte",
    "Dataset",
    "FuxiCTR",
    "GrowingColumn",
    "GrowingTransform",
    "Growth",
    "HashedColumn",
    "HashedSequenceColumn",
    "HashedSequenceTransform",
    "HashedTransform",
    "HistoryState",
    "KuaiRandFunnel",
    "KuaiRandPure",
    "NumericColumn",
    "NumericTransform",
    "PreparedTable",
    "SequenceColumn",
    "SequenceTransform",
    "SyntheticAds",
    "TableDescription",
    "TableTransforms",
    "Tabular",
    "Tenrec",
    "VectorColumn",
    "VectorTransform",
    "VocabularyTransform",
    "WeightedColumn",
    "WeightedTransform",
    "WeightsTransform",
    "histories",
    "kuairand_histories",
    "prepare",
    "with_boosted_leaves",
]
