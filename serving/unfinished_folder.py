"""A folder for files that servers must not see yet, which is removed in every case."""

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".unfinished-"
_LOCK = ".lock"
# A folder is locked microseconds after it is made, so one without a lock for longer was left behind.
_UNLOCKED_SECONDS = 3600


@contextlib.contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder to work in, removed at the end; what killed processes of this machine left is removed first.

    The process holds a lock in it, which the kernel releases when the process ends, however it ends. So a folder whose
    lock can be taken was left behind, also by another container of this machine. Folders of other machines stay, since
    not every shared file system shows the locks of other machines.

    Args:
        folder: where it is made, created if need be: renames from there stay on one file system. TF Serving skips
            names that are no integers.

    Example:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with unfinished_folder(Path(folder)) as work:
    ...         work.parent == Path(folder)
    ...     list(Path(folder).iterdir())
    True
    []
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_left_ones(folder)
    work, lock = _locked_folder(folder)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder and the open file whose lock says that it is in use."""
    while True:
        work = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{_machine()}-", dir=folder))
        lock = _lock(work, os.O_CREAT)
        if lock is not None:
            return work, lock


def _remove_left_ones(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}{_machine()}-*"):
        try:
            lock = _lock(left)
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _UNLOCKED_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
            continue
        except OSError:
            # Somebody else's, or a file system without locks: not known to be left.
            continue
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _lock(work: Path, flags: int = 0) -> int | None:
    """The open file with the lock, `None` where another process has it."""
    opened = os.open(work / _LOCK, os.O_RDWR | flags)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return opened


def _machine() -> str:
    """What all containers of a running machine have in common, and no other machine has."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip().replace("-", "") if boot.exists() else socket.gethostname()
