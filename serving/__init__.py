"""Export of trained models as SavedModels for TF Serving."""

from typing import Any

from ..extras import require_extra

# Before the imports below, whose errors would not name the extra.
require_extra("serving", "grouprank.serving")

from .check_skew import check_skew
from .deltas.apply_delta import apply_delta
from .deltas.delta_report import DeltaReport
from .deltas.export_delta import export_delta
from .deltas.full_export_needed_error import FullExportNeededError
from .examples import to_examples
from .explain import explain
from .explained_scores import ExplainedScores
from .export import export
from .export_generative_retrieval import export_generative_retrieval
from .export_report import ExportReport
from .export_retrieval import export_retrieval
from .layout.prune import prune
from .retrieval_report import RetrievalReport
from .skew_report import SkewReport
from .verify import verify
from .warm_exports import warm_exports

__all__ = [
    "Client",
    "DeltaReport",
    "ExplainedScores",
    "ExportReport",
    "FullExportNeededError",
    "RetrievalReport",
    "ServingError",
    "SkewReport",
    "apply_delta",
    "check_skew",
    "explain",
    "export",
    "export_delta",
    "export_generative_retrieval",
    "export_retrieval",
    "prune",
    "read_request_log",
    "to_examples",
    "verify",
    "warm_exports",
]


def __getattr__(name: str) -> Any:
    """The client and the reader of logs, imported when they are asked for: they bring all of TensorFlow."""
    if name in ("Client", "ServingError"):
        from . import client

        return getattr(client, name)
    if name == "read_request_log":
        from .request_log import read_request_log

        return read_request_log
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
