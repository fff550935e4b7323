"""Writes a SavedModel for each folder named and answers its rows; run under the TensorFlow backend.

`python export_all.py FOLDER ...`: reads `model.keras`, `modules.json` and `rows.pickle`, writes `served.npz`.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from grouprank.serving.write_saved_model import write_saved_model

for folder in map(Path, sys.argv[1:]):
    write_saved_model(folder)
    serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    rows = {name: tf.constant(values) for name, values in pickle.loads((folder / "rows.pickle").read_bytes()).items()}
    np.savez(folder / "served.npz", **{name: values.numpy() for name, values in serve(**rows).items()})
