"""Training on several devices and in several processes."""

from .processes import rank, world_size
from .synchronize import synchronize

__all__ = ["rank", "synchronize", "world_size"]
