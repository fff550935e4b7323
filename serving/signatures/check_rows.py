"""A check inside the graph, so that a server answers a malformed request with a clear message."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def check_rows(columns: Mapping[str, Any], axis: int = 0) -> dict[str, Any]:
    """The columns, after a check that they have equally many rows; fails with INVALID_ARGUMENT otherwise.

    Without the check, columns of different lengths may broadcast to a wrong answer.

    Args:
        columns: the request's tensors by name.
        axis: which axis is compared. Defaults to `0`.
    """
    # One operation for all columns of a kind, where each column would take two.
    kinds: dict[Any, list[str]] = {}
    for name, value in columns.items():
        kinds.setdefault((value.dtype, value.shape.rank), []).append(name)
    shapes = [tf.stack(tf.raw_ops.ShapeN(input=[columns[name] for name in names])) for names in kinds.values()]
    sizes = tf.concat([shape[:, axis] for shape in shapes], axis=0)
    what, names = "rows" if axis == 0 else "candidates", ", ".join(name for names in kinds.values() for name in names)
    check = tf.debugging.Assert(
        tf.reduce_all(tf.equal(sizes, sizes[0])),
        [f"The columns differ in their number of {what}. Columns: {names}. Their {what}:", sizes],
        summarize=len(columns),
    )
    # Nothing reads the columns before the check.
    with tf.control_dependencies([check]):
        return {name: tf.identity(value) for name, value in columns.items()}
