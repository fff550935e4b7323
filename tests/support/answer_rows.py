"""Answers the rows of a folder with its model, under the TensorFlow backend: what `test_zoo` runs in another process.

`python -m support.answer_rows FOLDER HOW` reads `model.keras`, `modules.json` and `rows.pickle`, and writes
`answers.npz`. `HOW` is `saved_model`, which is written to `FOLDER/saved_model` first, or `keras`.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from grouprank.serving.write_saved_model import load_model, write_saved_model

folder, how = Path(sys.argv[1]), sys.argv[2]
rows = {name: tf.constant(values) for name, values in pickle.loads((folder / "rows.pickle").read_bytes()).items()}
if how == "saved_model":
    write_saved_model(folder)
    answers = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"](**rows)
else:
    answers = {name: tf.sigmoid(logits) for name, logits in load_model(folder).row_logits(rows).items()}
np.savez(folder / "answers.npz", **{name: values.numpy() for name, values in answers.items()})
