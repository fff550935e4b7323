"""Scores rows with an ONNX file; run as a file in a process that knows neither Keras, TensorFlow nor this package.

`python score_onnx.py MODEL INPUTS OUTPUTS` reads calls `(signature, columns)` from the pickle `INPUTS` and writes their
outputs, `{output: array}` each, to the pickle `OUTPUTS`. A file has one signature, whatever its name.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def score_onnx(model: str, calls: list[tuple[str, dict[str, np.ndarray]]]) -> list[dict[str, np.ndarray]]:
    """Outputs of each call."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, columns), strict=True)) for _, columns in calls]


if __name__ == "__main__":
    outputs = score_onnx(sys.argv[1], pickle.loads(Path(sys.argv[2]).read_bytes()))
    Path(sys.argv[3]).write_bytes(pickle.dumps(outputs))
