"""Semantic ids: items named by the codes of their content vectors."""

from .fit_semantic_ids import fit_semantic_ids
from .semantic_id_embedding import SemanticIdEmbedding
from .semantic_ids import SemanticIds

__all__ = ["SemanticIdEmbedding", "SemanticIds", "fit_semantic_ids"]
