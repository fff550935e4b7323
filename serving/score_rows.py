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
    # By the signatures as a server reads them; what Python makes of a SavedModel names its arguments otherwise.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], saved_model)
        return [_call(session, loaded.signature_def[signature], columns) for signature, columns in calls]


def _call(session: Any, signature: Any, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    given = {
        info.name: np.asarray(columns[name], tf.as_dtype(info.dtype).as_numpy_dtype)
        for name, info in signature.inputs.items()
    }
    outputs: dict[str, np.ndarray] = session.run({n: info.name for n, info in signature.outputs.items()}, given)
    return outputs


if __name__ == "__main__":
    for module in sys.argv[4:]:
        importlib.import_module(module)
    outputs = score_rows(sys.argv[1], pickle.loads(Path(sys.argv[2]).read_bytes()))
    Path(sys.argv[3]).write_bytes(pickle.dumps(outputs))
