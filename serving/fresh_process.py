"""Runs a Python program in a process of its own under the TensorFlow backend."""

import os
import subprocess
import sys


def run_fresh_process(arguments: list[str], failure: str) -> None:
    """Run `python ARGUMENTS`; on an error raise a `RuntimeError` that starts with `failure`.

    Args:
        arguments: what follows the interpreter's name on the command line.
        failure: what did not happen, in words.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # The server's arithmetic: one thread count or vector width must not decide a comparison at 1e-5.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{failure}: {lines[-1] if lines else 'no message'}\n" + "\n".join(lines[-30:]))
