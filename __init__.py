"""Group structure learning and residual learning for ads ranking, on Keras 3."""

from . import datasets, layers, losses, metrics, models, reports, schema, serving
from .schema import Categorical, Numeric, Schema, Sequence, Task, Vector, Weights

__version__ = "0.1.0"

__all__ = [
    "Categorical",
    "Numeric",
    "Schema",
    "Sequence",
    "Task",
    "Vector",
    "Weights",
    "datasets",
    "layers",
    "losses",
    "metrics",
    "models",
    "reports",
    "schema",
    "serving",
]
