"""The parts of a two-tower retrieval model."""

from .candidate_index import CandidateIndex
from .corpus_recall import corpus_recall
from .corpus_search_model import CorpusSearchModel
from .in_batch_softmax import InBatchSoftmax
from .retrieval_model import RetrievalModel
from .sampling_frequency import SamplingFrequency
from .side_columns import side_columns, side_schema
from .side_model import SideModel
from .tower import Tower
from .unit_vector import UnitVector

__all__ = [
    "CandidateIndex",
    "CorpusSearchModel",
    "InBatchSoftmax",
    "RetrievalModel",
    "SamplingFrequency",
    "SideModel",
    "Tower",
    "UnitVector",
    "corpus_recall",
    "side_columns",
    "side_schema",
]
