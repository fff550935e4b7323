"""Scores raw rows with a SavedModel; run as a file in a process that knows neither Keras nor this package.

`python score_rows.py SAVED_MODEL INPUTS OUTPUTS [MODULE ...]` reads calls `(signature, columns)` from the pickle
`INPUTS` and writes their outputs, `{output: array}` each, to the pickle `OUTPUTS`. The modules are those whose
operations the SavedModel uses.
"""

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def score_rows(saved_model: str, calls: list[tuple[str, dict[str, np.ndarray]]]) -> list[dict[str, np.ndarray]]:
    """Outputs of each call."""
    loaded = tf.saved_model.load(saved_model)
    return [_call(loaded.signatures[signature], columns) for signature, columns in calls]


def _call(signature: Any, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    specs = signature.structured_input_signature[1]
    given = {name: tf.constant(values, dtype=specs[name].dtype) for name, values in columns.items() if name in specs}
    return {name: value.numpy() for name, value in signature(**given).items()}


if __name__ == "__main__":
    for module in sys.argv[4:]:
        importlib.import_module(module)
    outputs = score_rows(sys.argv[1], pickle.loads(Path(sys.argv[2]).read_bytes()))
    Path(sys.argv[3]).write_bytes(pickle.dumps(outputs))
