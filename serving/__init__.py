"""Export of trained models as SavedModels for TF Serving."""

from .export import export
from .export_report import ExportReport
from .export_retrieval import export_retrieval
from .layout.prune import prune
from .retrieval_report import RetrievalReport
from .verify import verify

__all__ = ["ExportReport", "RetrievalReport", "export", "export_retrieval", "prune", "verify"]
