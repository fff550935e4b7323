"""What a user acted on before each row of a log, from the log itself."""

from .histories import histories
from .history_state import HistoryState

__all__ = ["HistoryState", "histories"]
