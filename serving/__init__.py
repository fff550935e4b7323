"""Export of trained models as SavedModels for TF Serving."""

from .export import export
from .export_report import ExportReport
from .verify import verify

__all__ = ["ExportReport", "export", "verify"]
