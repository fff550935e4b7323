"""Exports that share a process in which TensorFlow is imported already."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class ExportServer:
    """Runs modules of this package in forks of a process that has imported TensorFlow; see `export_server.py`.

    The process starts with the first call and ends with `stop`, or when this process ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Run `python ARGUMENTS` with these environment variables.

        Args:
            arguments: `-m`, the module's name, and the module's own arguments.
            environment: all environment variables.

        Returns:
            The exit status, and what was printed.
        """
        with self._lock, tempfile.TemporaryDirectory() as work:
            printed = Path(work) / "printed.txt"
            job = {"module": arguments[1], "arguments": arguments[2:], "environment": dict(environment)}
            line = json.dumps({**job, "folder": os.getcwd(), "printed": str(printed)})
            process = self._process = self._process or _start(environment)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                status = process.stdout.readline()
            except BrokenPipeError:
                status = ""
            if not status:
                # The next call starts another one.
                self.stop()
                return process.returncode or 1, f"the process that runs exports ended with status {process.returncode}"
            return int(status), printed.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


# What runs exports in the block of `warm_exports`.
_server: ExportServer | None = None


@contextlib.contextmanager
def warm_exports() -> Iterator[None]:
    """Make every export of this block but the first some seconds faster.

    `export` and `export_retrieval` write a SavedModel in a process of their own, whose start is most of their time,
    since it imports TensorFlow. In this block the first export starts a process that imports TensorFlow once and stays.
    Each export, the first one too, runs in a fork of it, so that no export sees what another one did. The checks of an
    export still run in fresh processes. Where Python has no `os.fork`, as on Windows, exports run as they do outside
    of the block.

    Example:

    ```python
    with gr.serving.warm_exports():
        for name, model in models.items():
            gr.serving.export(model, f"saved_models/{name}", transforms=table.transforms)
    ```
    """
    global _server
    outer = _server
    _server = ExportServer() if hasattr(os, "fork") else None
    try:
        yield
    finally:
        if _server is not None:
            _server.stop()
        _server = outer


def export_server() -> ExportServer | None:
    """What runs exports in a block of `warm_exports`, `None` elsewhere."""
    return _server


def _start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "grouprank.serving.export_server"]
    # Only messages of the exports are needed; they go to files.
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
