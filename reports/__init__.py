"""Reports on predictions, in plain NumPy: no Keras, no backend."""

from .comparison import Comparison, compare
from .task_metrics import TaskMetrics, task_metrics

__all__ = ["Comparison", "TaskMetrics", "compare", "task_metrics"]
