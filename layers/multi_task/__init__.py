"""Structures between the backbone and the task towers."""

from .shared_bottom import SharedBottom

__all__ = ["SharedBottom"]
