"""Training on several devices and in several processes."""

from .processes import rank, world_size

__all__ = ["rank", "world_size"]
