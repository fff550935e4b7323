"""Sums over predictions that merge, and what follows from them."""

from .estimate import Estimate, ratio_estimate
from .logit_histogram import LogitHistogram
from .prediction_sums import PredictionSums
from .segment_figures import SegmentFigures
from .user_buckets import user_buckets

__all__ = ["Estimate", "LogitHistogram", "PredictionSums", "SegmentFigures", "ratio_estimate", "user_buckets"]
