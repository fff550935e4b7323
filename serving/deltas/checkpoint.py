"""The variables of a version on disk."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

_PREFIX = Path("variables", "variables")
# TensorFlow is imported in the functions, since few programs that import this package need it.


def read_variable(saved_model: Path, key: str) -> np.ndarray:
    """A variable of a version.

    Args:
        saved_model: the version folder.
        key: its name in the checkpoint.

    Raises:
        ValueError: if the checkpoint is damaged; TensorFlow compares a checksum of each variable.
    """
    import tensorflow as tf

    with _readable(saved_model):
        return tf.train.load_checkpoint(str(saved_model / _PREFIX)).get_tensor(key)


def change_variables(saved_model: Path, destination: Path, changed: Mapping[str, tuple[np.ndarray, bytes]]) -> None:
    """Write the variables of a version into another folder, with other values.

    All variables are in memory at once.

    Args:
        saved_model: the version folder.
        destination: the folder of another version, without variables.
        changed: by the name of a variable, numbers of rows and their new bytes; a number or a vector is one row.

    Raises:
        ValueError: if the checkpoint is damaged.
    """
    import tensorflow as tf
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    prefix, new = str(saved_model / _PREFIX), str(destination / _PREFIX)
    tensors = []
    with _readable(saved_model), tf.device("CPU"):
        dtypes = tf.train.load_checkpoint(prefix).get_variable_to_dtype_map()
        keys = sorted(dtypes)
        for key in keys:
            read = {"tensor_names": [key], "shape_and_slices": [""], "dtypes": [dtypes[key]]}
            (tensor,) = tf.raw_ops.RestoreV2(prefix=prefix, **read)
            if key in changed:
                rows, content = changed[key]
                values = np.frombuffer(content, dtypes[key].as_numpy_dtype)
                if tensor.shape.rank < 2:
                    tensor = tf.constant(values.reshape(tensor.shape))
                else:
                    values = values.reshape(len(rows), *tensor.shape[1:])
                    tensor = tf.tensor_scatter_nd_update(tensor, rows[:, np.newaxis], values)
            tensors.append(tensor)
        Path(new).parent.mkdir()
        tf.raw_ops.SaveV2(prefix=new, tensor_names=keys, shape_and_slices=[""] * len(keys), tensors=tensors)
    # It holds a checksum of the variables.
    write_fingerprint(str(destination))


@contextlib.contextmanager
def _readable(saved_model: Path) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError, RuntimeError) as error:
        raise ValueError(
            f"The variables of {saved_model} cannot be read: {error}. The folder is damaged. Copy it again, or "
            "export a full version."
        ) from error
