"""Scores raw rows with a SavedModel; run as a file in a process that knows neither Keras nor this package.

`python score_rows.py SAVED_MODEL ROWS OUTPUT [MODULE ...]` reads raw columns from the pickle `ROWS` and writes
`{signature: {output: array}}` to the pickle `OUTPUT`. The modules are those whose operations the SavedModel uses.
"""

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def score_rows(saved_model: str, rows: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Outputs of every signature for all rows at once; the first row alone must give the same."""
    loaded = tf.saved_model.load(saved_model)
    scores = {}
    for name, signature in loaded.signatures.items():
        outputs = _call(signature, rows)
        single = _call(signature, {column: values[:1] for column, values in rows.items()})
        for output, values in single.items():
            if values.shape != outputs[output][:1].shape or not _close(values, outputs[output][:1]):
                raise SystemExit(
                    f"Signature {name!r}, output {output!r}: the first row alone gives {values}, "
                    f"in a batch {outputs[output][:1]}."
                )
        scores[name] = outputs
    return scores


def _close(values: np.ndarray, others: np.ndarray) -> bool:
    # Which group or candidate is nearest may tip with rounding; what they lead to may not.
    if values.dtype.kind != "f":
        return True
    return np.allclose(values, others, rtol=0, atol=1e-5 * max(1.0, float(np.abs(others).max(initial=0.0))))


def _call(signature: Any, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    specs = signature.structured_input_signature[1]
    columns = {name: tf.constant(values, dtype=specs[name].dtype) for name, values in rows.items() if name in specs}
    return {name: value.numpy() for name, value in signature(**columns).items()}


if __name__ == "__main__":
    for module in sys.argv[4:]:
        importlib.import_module(module)
    outputs = score_rows(sys.argv[1], pickle.loads(Path(sys.argv[2]).read_bytes()))
    Path(sys.argv[3]).write_bytes(pickle.dumps(outputs))
