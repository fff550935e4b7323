"""Streaming Keras metrics of ads ranking and retrieval, and the health of codebooks."""

from .calibration import Calibration
from .codebook_health import CodebookHealth
from .codebook_perplexity import CodebookPerplexity
from .codebook_utilization import CodebookUtilization
from .in_batch_recall import InBatchRecall
from .normalized_entropy import NormalizedEntropy

__all__ = [
    "Calibration",
    "CodebookHealth",
    "CodebookPerplexity",
    "CodebookUtilization",
    "InBatchRecall",
    "NormalizedEntropy",
]
