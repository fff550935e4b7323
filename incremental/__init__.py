"""Training on a log that goes on: period by period, judged and taught by yesterday's model."""

from .fit_transforms import fit_transforms
from .incremental_trainer import IncrementalTrainer
from .late_labels import LateLabels
from .period import Period
from .periods import periods

__all__ = ["IncrementalTrainer", "LateLabels", "Period", "fit_transforms", "periods"]
