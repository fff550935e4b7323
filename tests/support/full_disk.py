"""A full disk, for a moment."""

import contextlib
import resource


@contextlib.contextmanager
def room_for(size):
    """No file may grow beyond `size` bytes; what is written beyond fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
