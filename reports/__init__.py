"""Reports on predictions, in NumPy and polars: no Keras, no backend."""

from .comparison import Comparison, compare
from .gain_table import Gain, GainTable, gain_table
from .group_recovery import GroupRecovery, group_recovery
from .group_report import Group, GroupReport, group_report
from .group_stability import group_stability
from .segment_report import Segment, SegmentReport, segment_report
from .segmentation import Segmentation
from .statistics import Estimate, PredictionSums
from .task_metrics import TaskMetrics, task_metrics

__all__ = [
    "Comparison",
    "Estimate",
    "Gain",
    "GainTable",
    "Group",
    "GroupRecovery",
    "GroupReport",
    "PredictionSums",
    "Segment",
    "SegmentReport",
    "Segmentation",
    "TaskMetrics",
    "compare",
    "gain_table",
    "group_recovery",
    "group_report",
    "group_stability",
    "segment_report",
    "task_metrics",
]
