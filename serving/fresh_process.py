"""Runs a Python program in a process of its own under the TensorFlow backend."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def run_fresh_process(arguments: list[str], failure: str, variables: Mapping[str, str] | None = None) -> None:
    """Run `python ARGUMENTS`; on an error raise a `RuntimeError` that starts with `failure`.

    Args:
        arguments: what follows the interpreter's name on the command line.
        failure: what did not happen, in words.
        variables: further environment variables. Defaults to `None`.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # The server's arithmetic: one thread count or vector width must not decide a comparison at 1e-5.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        **(variables or {}),
    }
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{failure}: {lines[-1] if lines else 'no message'}\n" + "\n".join(lines[-30:]))


def score_in_fresh_process(
    saved_model: Path, raw: Mapping[str, np.ndarray], modules: Sequence[str] = ()
) -> dict[str, dict[str, np.ndarray]]:
    """Outputs of every signature of a SavedModel, in a process that knows neither Keras nor this package.

    Args:
        saved_model: the version folder.
        raw: columns of the signatures.
        modules: modules whose operations the SavedModel uses. Defaults to `()`.

    Returns:
        `{signature: {output: array}}`.
    """
    with tempfile.TemporaryDirectory() as work:
        rows, scores = Path(work) / "rows.pickle", Path(work) / "scores.pickle"
        rows.write_bytes(pickle.dumps(dict(raw)))
        # As a file, not as a module: the process must not import this package.
        script = Path(__file__).with_name("score_rows.py")
        arguments = [str(script), str(saved_model), str(rows), str(scores), *modules]
        run_fresh_process(arguments, f"{saved_model} does not answer")
        return pickle.loads(scores.read_bytes())
