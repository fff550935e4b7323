"""The checks of batches inside a pipeline of TensorFlow."""

from typing import Any

import keras

from ...schema import Categorical, Sequence
from .data_shards import data_shards


def check_tf_batches(dataset: Any, check: Any) -> Any:
    """A `tf.data.Dataset` that raises at the first wrong batch.

    A few operations of the pipeline tell whether anything could be wrong with a batch; only then it is handed to
    Python, where `check` finds what it is.

    Args:
        dataset: a `tf.data.Dataset` of batches.
        check: a `BatchCheck`.

    Example:

    ```python
    check = BatchCheck(schema, lambda x, y, weight: schema.check_batch(x, y), targets=lambda y: y)
    dataset = check_tf_batches(tf.data.Dataset.from_tensor_slices((x, y)).batch(4096), check)
    ```
    """
    import tensorflow as tf

    # Python sees too few of the batches to know.
    check.unlabelled = set()

    def look(*parts: Any) -> Any:
        batch = parts[0] if len(parts) == 1 and not isinstance(dataset.element_spec, tuple) else parts
        leaves = keras.tree.flatten(batch)

        def find(*values: Any) -> Any:
            check.batch(keras.tree.pack_sequence_as(batch, list(values)))
            return True

        def ask() -> Any:
            (asked,) = tf.numpy_function(find, leaves, [tf.bool])
            return tf.ensure_shape(asked, ())

        fine = tf.cond(_looks_right(tf, batch, check), lambda: tf.constant(True), ask)
        with tf.control_dependencies([fine]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(tf.autograph.experimental.do_not_convert(look))


def _looks_right(tf: Any, batch: Any, check: Any) -> Any:
    """A scalar boolean tensor, false wherever the thorough check has to look."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    if not isinstance(x, dict):
        return tf.constant(True)
    if any(feature.name not in x for feature in check.schema.features):
        return tf.constant(False)
    conditions = []
    for feature in check.schema.features:
        values = x[feature.name]
        if isinstance(feature, Categorical | Sequence):
            if not values.dtype.is_integer:
                return tf.constant(False)
            ids = tf.cast(values, tf.int64)
            inside = tf.logical_and(ids >= 0, ids < feature.vocabulary_size)
        else:
            inside = tf.math.is_finite(tf.cast(values, tf.float32))
        conditions.append(tf.reduce_all(inside))
        shape = values.shape
        if shape.rank is not None and tuple(shape[1:]) != feature.shape:
            return tf.constant(False)
    conditions.append(tf.equal(tf.shape(values)[0] % data_shards(), 0))
    if check.targets is not None and y is not None:
        targets = check.targets(y)
        names = [*check.schema.task_names, *(name for name in check.probabilities if name in targets)]
        for name in names:
            labels = tf.cast(targets[name], tf.float32)
            conditions.append(tf.logical_not(tf.reduce_any(tf.logical_or(labels < 0, labels > 1))))
        for weights in [leaf for leaf in tf.nest.flatten(weight) if leaf is not None]:
            weights = tf.cast(weights, tf.float32)
            conditions.append(tf.reduce_all(tf.logical_and(weights >= 0, tf.math.is_finite(weights))))
    return tf.reduce_all(tf.stack(conditions))
