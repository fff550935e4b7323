"""One run at a time in a run folder."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import shlex
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_FILE = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder; other processes that ask for it meanwhile are refused at once.

    The operating system releases the lock when the process ends, however it ends, so nothing has to be cleaned up after
    a kill. The file `lock` in the folder says who holds it, or held it last.

    Args:
        folder: the run folder; made if it does not exist.

    Raises:
        RuntimeError: naming the process that holds the folder.

    Example:

    >>> import tempfile
    >>> with run_lock(Path(tempfile.mkdtemp()) / "run"):
    ...     pass  # train
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _FILE, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"{folder} is in use by {_holder(file)}. Two runs in one folder would overwrite each other's files: "
                "wait for that one, stop it, or pass another folder (--run another/folder)."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"The file system of {folder} has no locks: take care that no other run uses this folder.", stacklevel=3
            )
        _sign(file)
        yield


def _sign(file: IO[str]) -> None:
    file.truncate(0)
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    signed = {"process": os.getpid(), "host": socket.gethostname(), "command": shlex.join(sys.argv), "since": since}
    file.write(json.dumps(signed) + "\n")
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        found = json.loads(file.read())
    except json.JSONDecodeError:  # it has only just begun
        return "another process"
    return "process {process} on {host} since {since} ({command})".format(**found)
