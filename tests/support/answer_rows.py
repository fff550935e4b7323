"""Answers the rows of a folder with its model, under the TensorFlow backend: what `test_zoo` runs in another process.

`python -m support.answer_rows FOLDER` reads `model.keras`, `modules.json` and `rows.pickle`, and writes
`saved_model` and what it answers, `answers.npz`.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from grouprank.serving.write_saved_model import write_saved_model

folder = Path(sys.argv[1])
rows = {name: tf.constant(values) for name, values in pickle.loads((folder / "rows.pickle").read_bytes()).items()}
write_saved_model(folder)
answers = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"](**rows)
np.savez(folder / "answers.npz", **{name: values.numpy() for name, values in answers.items()})
