"""Embedding tables of categorical features, and embeddings of numbers."""

from .embedding_collection import EmbeddingCollection
from .fused_embedding import FusedEmbedding
from .fused_embedding_collection import FusedEmbeddingCollection
from .numeric_embedding import NumericEmbedding
from .table_config import TableConfig

__all__ = ["EmbeddingCollection", "FusedEmbedding", "FusedEmbeddingCollection", "NumericEmbedding", "TableConfig"]
