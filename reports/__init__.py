"""Reports on predictions, in NumPy and polars: no Keras, no backend."""

from .comparison import Comparison, compare
from .gain_table import Gain, GainTable, gain_table
from .segment_report import Segment, SegmentReport, segment_report
from .segmentation import Segmentation
from .statistics import Estimate, PredictionSums
from .task_metrics import TaskMetrics, task_metrics

__all__ = [
    "Comparison",
    "Estimate",
    "Gain",
    "GainTable",
    "PredictionSums",
    "Segment",
    "SegmentReport",
    "Segmentation",
    "TaskMetrics",
    "compare",
    "gain_table",
    "segment_report",
    "task_metrics",
]
