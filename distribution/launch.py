"""Starts a script in several processes of JAX, as `torchrun` does for torch.

`python -m grouprank.distribution.launch --processes 2 train.py --data DIR`

The script calls `grouprank.distribution.start()`. Without accelerators each process has `--devices` virtual devices of
the CPU. The output of the first process is shown. That of the others is kept for the case that one of them fails. A
process that fails ends the others.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Seconds that processes have to end by themselves after another one has failed.
GRACE = 10.0
_LAST_LINES = 20


def launch(command: Sequence[str], processes: int, devices: int = 1) -> int:
    """Run a command in several processes of JAX on this machine.

    Args:
        command: program and arguments, the same for every process.
        processes: number of processes.
        devices: number of virtual devices of each process where there are no accelerators. Defaults to `1`.

    Returns:
        0, or 1 if a process failed. The exit status of those that failed by themselves, and what they had printed last,
        is written to stderr.

    Raises:
        ValueError: if a number is below 1.

    Example:

    >>> launch([sys.executable, "-c", "pass"], processes=2)
    0
    """
    for name, number in (("processes", processes), ("devices", devices)):
        if number < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={number}.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    # Virtual devices wait for each other, each in a thread of its own.
    shared.setdefault("PJRT_NPROC", str(2 * devices))
    running: dict[int, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(processes)]
        try:
            for rank, log in enumerate(logs):
                environment = {**shared, "KERAS_DISTRIBUTION_PROCESS_ID": str(rank)}
                output: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT} if rank > 0 else {}
                running[rank] = subprocess.Popen(command, env=environment, **output)
            failed = _wait(running)
        finally:
            _stop(running.values())
        # One that fails soon takes others with it, whose errors then speak of a lost connection alone.
        for rank, status in failed.items():
            print(f"The process of rank {rank} ended with status {status}. The others were stopped.", file=sys.stderr)
            logs[rank].seek(0)
            print("".join(logs[rank].readlines()[-_LAST_LINES:]), file=sys.stderr, end="")
        return int(bool(failed))


def _wait(running: Mapping[int, subprocess.Popen[bytes]]) -> dict[int, int]:
    """Wait until all have ended well, or some have not: the exit statuses of these by rank."""
    while True:
        found = {rank: process.poll() for rank, process in running.items()}
        failed = {rank: status for rank, status in found.items() if status}
        if failed or None not in found.values():
            return failed
        time.sleep(0.1)


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in alive:
        try:
            process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m grouprank.distribution.launch", description=launch.__doc__)
    parser.add_argument("--processes", type=int, required=True, help="number of processes")
    parser.add_argument("--devices", type=int, default=1, help="virtual devices of each process on a CPU")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("script", help="script or module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    given = parser.parse_args()
    # Its processes end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command = [sys.executable, *(["-m"] if given.module else []), given.script, *given.arguments]
    sys.exit(launch(command, given.processes, given.devices))


if __name__ == "__main__":
    main()
