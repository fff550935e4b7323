"""A stand-in for TensorFlow Serving on this machine: its protocols and version policy."""

from .loopback_server import LoopbackServer

__all__ = ["LoopbackServer"]
