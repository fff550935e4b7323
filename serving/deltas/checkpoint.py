"""The variables of a version on disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_PREFIX = Path("variables", "variables")


def read_variable(saved_model: Path, key: str) -> np.ndarray:
    """A variable of a version.

    Args:
        saved_model: the version folder.
        key: its name in the checkpoint.

    Raises:
        ValueError: if the checkpoint is damaged; TensorFlow compares a checksum of each variable.
    """
    return next(_read(saved_model, [key]))[1]


def variable_dtypes(saved_model: Path) -> dict[str, Any]:
    """NumPy's dtype of each variable of a version."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(saved_model / _PREFIX))
    return {key: dtype.as_numpy_dtype for key, dtype in reader.get_variable_to_dtype_map().items()}


def change_variables(saved_model: Path, destination: Path, changed: Mapping[str, Any]) -> None:
    """Write the variables of a version into another folder, with other values.

    All variables are in memory at once.

    Args:
        saved_model: the version folder.
        destination: the folder of another version, without variables.
        changed: by the name of a variable, numbers of rows and their new values.

    Raises:
        ValueError: if the checkpoint is damaged.
    """
    import tensorflow as tf
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    keys = sorted(tf.train.load_checkpoint(str(saved_model / _PREFIX)).get_variable_to_shape_map())
    values = []
    for key, value in _read(saved_model, keys):
        if key in changed:
            rows, new = changed[key]
            # One row for a number or a vector.
            value = np.array(value)
            value.reshape(1 if value.ndim < 2 else len(value), -1)[rows] = new
        values.append(value)
    (destination / _PREFIX).parent.mkdir()
    with tf.device("CPU"):
        tensors = [tf.convert_to_tensor(value) for value in values]
        tf.raw_ops.SaveV2(
            prefix=str(destination / _PREFIX), tensor_names=keys, shape_and_slices=[""] * len(keys), tensors=tensors
        )
    # It holds a checksum of the variables.
    write_fingerprint(str(destination))


def _read(saved_model: Path, keys: list[str]) -> Iterator[tuple[str, Any]]:
    # Here, since few programs that import this package need it.
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(saved_model / _PREFIX))
        for key in keys:
            yield key, reader.get_tensor(key)
    except (tf.errors.OpError, RuntimeError) as error:
        raise ValueError(
            f"The variables of {saved_model} cannot be read: {error}. The folder is damaged. Copy it again, or "
            "export a full version."
        ) from error
