"""The process of one contender: prepares it, runs steps on request and answers in JSON lines.

`python -P worker.py [--stub]`. It is started by path, since it also runs where grouprank is not installed. With
`--stub` the package `grouprank` is only a name for the folder, so that `grouprank.benchmarks` can be imported
without Keras.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until `stop` or the end of `requests`."""
    run: Callable[[int], Sequence[float]] | None = None
    for line in requests:
        request = json.loads(line)
        if request["do"] == "stop":
            return
        try:
            if request["do"] == "prepare":
                run, answer = _prepare(request)
            elif run is None:
                raise RuntimeError("Nothing is prepared yet.")
            else:
                seconds = [float(step) for step in run(request["steps"])]
                answer = {"seconds": seconds, "peak_bytes": peak_bytes()}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def peak_bytes() -> int:
    """Most memory this process has held since it started, or since `forget_peak`; 0 where that is unknown."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def forget_peak() -> bool:
    """Let `peak_bytes` count anew; False where the system does not allow that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _prepare(request: dict[str, Any]) -> tuple[Callable[[int], Sequence[float]], dict[str, Any]]:
    start = time.perf_counter()
    module, function = request["target"].split(":")
    prepared = getattr(importlib.import_module(module), function)(**request["settings"])
    answer = {
        "facts": dict(prepared.facts),
        "versions": {name: version for name in request["packages"] if (version := _version(name))},
        "setup_seconds": time.perf_counter() - start,
        "setup_peak_bytes": peak_bytes(),
        "peak_is_of_steps": forget_peak(),
    }
    return prepared.run, answer


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _end_with_parent() -> None:
    """End with the controller; a stopped process would not notice that it was killed, and would keep its memory."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _main() -> None:
    _end_with_parent()
    # Libraries print to stdout; only the protocol may reach the controller there.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if "--stub" in sys.argv:
        package = types.ModuleType("grouprank")
        package.__path__ = [str(Path(__file__).resolve().parents[2])]
        sys.modules["grouprank"] = package
    serve(sys.stdin, answers)
    answers.flush()
    # Thread pools of some libraries hang at exit.
    os._exit(0)


if __name__ == "__main__":
    _main()
