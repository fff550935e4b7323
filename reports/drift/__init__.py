"""What a log looked like, and what has changed since."""

from .drift import drift
from .drift_report import ColumnDrift, DecileCalibration, DriftReport
from .jensen_shannon import jensen_shannon_divergence
from .log_profile import LogProfile

__all__ = ["ColumnDrift", "DecileCalibration", "DriftReport", "LogProfile", "drift", "jensen_shannon_divergence"]
