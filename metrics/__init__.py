"""Streaming Keras metrics of ads ranking, and the health of codebooks."""

from .calibration import Calibration
from .codebook_health import CodebookHealth
from .codebook_perplexity import CodebookPerplexity
from .codebook_utilization import CodebookUtilization
from .normalized_entropy import NormalizedEntropy

__all__ = ["Calibration", "CodebookHealth", "CodebookPerplexity", "CodebookUtilization", "NormalizedEntropy"]
