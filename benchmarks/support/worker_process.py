"""The controller's end of a contender's process."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .contender import Contender

# Idle thread pools sleep instead of spinning, and no library takes a whole accelerator for itself.
VARIABLES = {
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class WorkerProcess:
    """Starts a contender's process and asks it to prepare and to run steps.

    Between requests the process is stopped (SIGSTOP), so that whatever its threads would do cannot disturb others.

    Args:
        contender: what to run.
        python: interpreter of its environment. Defaults to the current one.
        log: file that takes what the process prints. Defaults to nowhere.
        timeout: seconds after which an answer counts as not coming. Defaults to `1800`.

    Raises:
        RuntimeError: on `prepare` and `run`, if the contender fails, dies or does not answer.
    """

    def __init__(
        self, contender: Contender, python: Path | None = None, log: Path | None = None, timeout: float = 1800.0
    ) -> None:
        self.contender = contender
        self.timeout = timeout
        self._log = log
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(python or sys.executable), "-P", str(Path(__file__).with_name("worker.py"))]
        threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))} if hasattr(os, "sched_getaffinity") else {}
        with open(log or os.devnull, "w") as errors:
            self._process = subprocess.Popen(
                command + (["--stub"] if contender.environment else []),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **threads, **VARIABLES, **contender.variables},
            )
        self._unread = b""

    def prepare(self) -> dict[str, Any]:
        """Set the contender up; returns its facts, versions, seconds and peak memory of the set-up."""
        request = {
            "do": "prepare",
            "target": self.contender.target,
            "settings": dict(self.contender.settings),
            "packages": list(self.contender.packages),
        }
        return self._ask(request)

    def run(self, steps: int) -> dict[str, Any]:
        """Run steps; returns `seconds` of each and `peak_bytes`."""
        return self._ask({"do": "run", "steps": steps})

    def stop(self) -> None:
        """End the process, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What a dead process did not read cannot be flushed to it.
            with contextlib.suppress(OSError):
                stream and stream.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        answer = json.loads(self._read_line(request["do"]))
        if "error" in answer:
            raise RuntimeError(f"{self.contender.name} failed to {request['do']}:\n{answer['error']}")
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def _read_line(self, what: str) -> bytes:
        assert self._process.stdout is not None
        end = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(end - time.monotonic(), 0.0)):
                    raise RuntimeError(f"{self.contender.name} did not {what} within {self.timeout:.0f} seconds.")
                found = os.read(self._process.stdout.fileno(), 1 << 16)
                if not found:
                    raise RuntimeError(f"{self.contender.name}: its process ended ({self._ending()}).")
                self._unread += found
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _ending(self) -> str:
        code = self._process.wait()
        tail = self._log.read_text(errors="replace")[-2000:] if self._log is not None else ""
        reason = "killed, probably for memory" if code == -signal.SIGKILL else f"exit status {code}"
        return f"{reason}; it printed: {tail}" if tail else reason
