"""Ways to combine the losses of several tasks."""

from .fixed_weighting import FixedWeighting
from .grad_norm import GradNorm
from .task_weighting import TaskWeighting
from .uncertainty_weighting import UncertaintyWeighting

TASK_WEIGHTING = {"fixed": FixedWeighting, "uncertainty": UncertaintyWeighting, "grad_norm": GradNorm}

__all__ = ["TASK_WEIGHTING", "FixedWeighting", "GradNorm", "TaskWeighting", "UncertaintyWeighting"]
