"""Reports on predictions, in NumPy and polars: no Keras, no backend."""

from .comparison import Comparison, compare
from .drift import DriftReport, LogProfile, drift, jensen_shannon_divergence
from .gain_table import Gain, GainTable, gain_table
from .group_recovery import GroupRecovery, group_recovery
from .group_report import Group, GroupReport, group_report
from .group_stability import group_stability
from .page import LineChart, ReportPage
from .population_stability import population_stability_index
from .regression_gate import GateCheck, GateResult, GateRule, check_gate
from .segment_report import Segment, SegmentReport, segment_report
from .segmentation import Segmentation
from .slice_discovery import discover_slices
from .slices import Slice, SliceFigures, SliceReport
from .statistics import Estimate, PredictionSums
from .task_metrics import TaskMetrics, task_metrics

__all__ = [
    "Comparison",
    "DriftReport",
    "Estimate",
    "Gain",
    "GainTable",
    "GateCheck",
    "GateResult",
    "GateRule",
    "Group",
    "GroupRecovery",
    "GroupReport",
    "LineChart",
    "LogProfile",
    "PredictionSums",
    "ReportPage",
    "Segment",
    "SegmentReport",
    "Segmentation",
    "Slice",
    "SliceFigures",
    "SliceReport",
    "TaskMetrics",
    "check_gate",
    "compare",
    "discover_slices",
    "drift",
    "gain_table",
    "group_recovery",
    "group_report",
    "group_stability",
    "jensen_shannon_divergence",
    "population_stability_index",
    "segment_report",
    "task_metrics",
]
