"""Training on several devices and in several processes."""

from .processes import rank, world_size
from .start import start
from .synchronize import synchronize
from .use_devices import use_devices

__all__ = ["rank", "start", "synchronize", "use_devices", "world_size"]
