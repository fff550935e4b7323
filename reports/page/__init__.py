"""One self-contained HTML page of a run."""

from .line_chart import LineChart
from .report_page import ReportPage

__all__ = ["LineChart", "ReportPage"]
