"""Runs a Python program in a process of its own under the TensorFlow backend."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .c_session import has_c_library
from .warm_exports import export_server


def run_fresh_process(arguments: list[str], failure: str, variables: Mapping[str, str] | None = None) -> None:
    """Run `python ARGUMENTS`; on an error raise a `RuntimeError` that starts with `failure`.

    In a block of `warm_exports`, a module runs in a fork of its process instead.

    Args:
        arguments: what follows the interpreter's name on the command line.
        failure: what did not happen, in words.
        variables: further environment variables. Defaults to `None`.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Arithmetic as in a server: the number of threads or the vector width must not decide a comparison at 1e-5.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        **(variables or {}),
    }
    server = export_server()
    # A program that is started by its path must not find this package imported.
    if server is not None and arguments[0] == "-m":
        status, printed = server.run(arguments, environment)
    else:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        status, printed = done.returncode, done.stderr or done.stdout
    if status:
        lines = printed.strip().splitlines()
        raise RuntimeError(f"{failure}: {lines[-1] if lines else 'no message'}\n" + "\n".join(lines[-30:]))


Inputs = Mapping[str, Mapping[str, np.ndarray]]


def score_in_fresh_process(
    saved_model: Path, inputs: Inputs, modules: Sequence[str] = ()
) -> dict[str, dict[str, np.ndarray]]:
    """Outputs of an exported model's signatures, from a process without Keras and without this package.

    TensorFlow's C library answers where there is one, as in a server, and Python TensorFlow elsewhere; onnxruntime
    answers for an ONNX file. The first row alone must get the same answer as in its batch.

    Args:
        saved_model: the version folder, or a file that ends in `.onnx`.
        inputs: columns by signature.
        modules: Python modules whose operations the SavedModel uses. Defaults to `()`.

    Returns:
        `{signature: {output: array}}`.

    Raises:
        RuntimeError: when the SavedModel does not answer, or answers a row alone otherwise.
    """
    single = {name: {column: v[:1] for column, v in columns.items()} for name, columns in inputs.items()}
    calls = [*inputs.items(), *single.items()]
    with tempfile.TemporaryDirectory() as work:
        asked, answered = Path(work) / "asked.pickle", Path(work) / "answered.pickle"
        asked.write_bytes(pickle.dumps(calls))
        # As a file, not as a module: the process must not import this package.
        program = "score_rows.py" if modules or not has_c_library() else "c_session.py"
        if saved_model.suffix == ".onnx":
            program = "score_onnx.py"
        script = Path(__file__).with_name(program)
        arguments = [str(script), str(saved_model), str(asked), str(answered), *modules]
        run_fresh_process(arguments, f"{saved_model} does not answer")
        answers = pickle.loads(answered.read_bytes())
    scores = dict(zip(inputs, answers, strict=False))
    for (name, _), outputs in zip(single.items(), answers[len(inputs) :], strict=True):
        for output, values in outputs.items():
            expected = scores[name][output][:1]
            if values.shape != expected.shape or not _close(values, expected):
                raise RuntimeError(
                    f"{saved_model}, signature {name!r}, output {output!r}: the first row alone gives {values}, in a "
                    f"batch {expected}."
                )
    return scores


def _close(values: np.ndarray, others: np.ndarray) -> bool:
    # Which group or candidate is nearest may tip with rounding; what they lead to may not.
    if values.dtype.kind != "f":
        return True
    return np.allclose(values, others, rtol=0, atol=1e-5 * max(1.0, float(np.abs(others).max(initial=0.0))))
