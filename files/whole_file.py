"""A file that appears when it is complete."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ..distribution import rank
from ..distribution.one_writer import one_writer

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path`; what was written there becomes `path` in one step.

    If the process is killed, the machine loses power or the disk is full, the earlier file stays, or none if there was
    none. Only one run at a time may write the same file: hold a `run_lock`. Of several processes that train together
    all must come here, and the first one's file is kept.

    Args:
        path: the file to write, replaced if it exists.

    Raises:
        OSError: saying so, if there is no room for the file.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.txt"
    >>> with whole_file(path) as partial:
    ...     _ = partial.write_text("NE 0.9")
    >>> path.read_text()
    'NE 0.9'
    """
    with one_writer(path) as own:
        if rank() == 0:
            with _replacing(path) as partial:
                yield partial
        else:
            yield Path(own)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    # The ending stays: Keras and NumPy look at it.
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"{path} could not be written: {os.strerror(error.errno)}. Nothing of it was kept, and an earlier file "
            "is unchanged. Make room and give the command again",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
