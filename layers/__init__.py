"""Keras layers: residual quantization, group concatenation, embeddings, towers."""

from .embedding import EmbeddingCollection, FusedEmbedding, FusedEmbeddingCollection, NumericEmbedding
from .embedding import optimizers as embedding_optimizers
from .group_concat import GroupConcat
from .group_ids import GroupIds
from .mlp import MLP
from .multi_task import SharedBottom
from .parallel_mlp import ParallelMLP
from .residual_quantizer import ResidualQuantizer

__all__ = [
    "MLP",
    "EmbeddingCollection",
    "FusedEmbedding",
    "FusedEmbeddingCollection",
    "GroupConcat",
    "GroupIds",
    "NumericEmbedding",
    "ParallelMLP",
    "ResidualQuantizer",
    "SharedBottom",
    "embedding_optimizers",
]
