"""A folder that is written under a hidden name first."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def partial_folder(destination: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside `destination`, to be renamed to it when complete; otherwise it is removed.

    What killed runs on this machine left for the same destination is removed too (a container often gives the
    next process the number of the last).
    """
    prefix = f".{destination.name}.partial-{socket.gethostname()}-"
    for left in destination.parent.glob(f"{prefix}*"):
        process = left.name.removeprefix(prefix)
        if process.isdecimal() and (int(process) == os.getpid() or not _is_running(int(process))):
            shutil.rmtree(left, ignore_errors=True)
    partial = destination.parent / f"{prefix}{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
