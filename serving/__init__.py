"""Export of trained models as SavedModels for TF Serving."""

from .export import export
from .export_report import ExportReport

__all__ = ["ExportReport", "export"]
