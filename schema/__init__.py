"""What a table looks like: features on a side, tasks with an optional parent."""

from .features import SIDES, Categorical, Feature, Numeric, Sequence, Vector, Weights
from .schema import Schema
from .task import Task

__all__ = ["SIDES", "Categorical", "Feature", "Numeric", "Schema", "Sequence", "Task", "Vector", "Weights"]
