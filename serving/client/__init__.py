"""What talks to TensorFlow Serving."""

from .client import Client
from .serving_error import ServingError

__all__ = ["Client", "ServingError"]
