"""One self-contained HTML page of a run."""

from .report_page import ReportPage

__all__ = ["ReportPage"]
