"""Embedding tables of categorical features, and embeddings of numbers."""

from .embedding_collection import EmbeddingCollection
from .numeric_embedding import NumericEmbedding

__all__ = ["EmbeddingCollection", "NumericEmbedding"]
