"""Group structure learning and residual learning for ads ranking, on Keras 3."""

from typing import TYPE_CHECKING, Any

from . import datasets, distribution, layers, losses, metrics, models, reports, schema
from .schema import Categorical, Numeric, Schema, Sequence, Task, Vector, Weights

if TYPE_CHECKING:
    from . import incremental, serving

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
    "distribution",
    "incremental",
    "layers",
    "losses",
    "metrics",
    "models",
    "reports",
    "schema",
    "serving",
]


def __getattr__(name: str) -> Any:
    """`serving` and `incremental`, imported when they are asked for: the first needs TensorFlow, unlike the rest."""
    if name in ("incremental", "serving"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
