"""Runs exports in forks of itself, so that TensorFlow is imported once; started by `warm_exports`.

`python -m grouprank.serving.export_server` reads one job per line from its input, as JSON, and answers each with a line
that holds the exit status of its fork.
"""

import json
import os
import runpy
import sys
import traceback
from typing import Any

# Imported only to save each fork the time. Nothing is computed before a fork, since TensorFlow's threads would
# not be in the copy.
import tensorflow  # noqa: F401

from . import export  # noqa: F401


def serve() -> None:
    """Answer jobs until the input ends."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_run(json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(job: dict[str, Any]) -> int:
    """Run a module as `python -m` does, and return its exit status."""
    printed = os.open(job["printed"], os.O_WRONLY | os.O_CREAT, 0o600)
    silence = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((silence, 0), (printed, 1), (printed, 2)):
        os.dup2(source, target)
    status = 1
    try:
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environment"])
        given = [job["folder"], *job["environment"].get("PYTHONPATH", "").split(os.pathsep)]
        sys.path[:] = [*given, *(place for place in sys.path if place not in given)]
        sys.argv = [job["module"], *job["arguments"]]
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve()
