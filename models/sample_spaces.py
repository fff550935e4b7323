"""The labels of a task's own sample space, and of the entire space."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from ..schema import Schema


def conditional_label(schema: Schema, task: str, targets: Mapping[str, Any]) -> Any:
    """A task's label where all that it is given came true, NaN elsewhere; `purchase` counts among clicks only.

    Args:
        schema: the table.
        task: name of the task.
        targets: labels by task.
    """
    label = targets[task]
    for parent in schema.path(task)[:-1]:
        outside = ops.full_like(_column(label), float("nan"))
        label = ops.where(_column(targets[parent]) == 1.0, _column(label), outside)
    return label


def joint_label(schema: Schema, task: str, targets: Mapping[str, Any]) -> Any:
    """Whether a task and all it is given came true; NaN where that is unknown.

    One outcome of the path that is known not to have come true settles it.

    Args:
        schema: the table.
        task: name of the task.
        targets: labels by task.
    """
    labels = [_column(targets[name]) for name in schema.path(task)]
    product, refuted = labels[0], labels[0] == 0.0
    for label in labels[1:]:
        product, refuted = product * label, ops.logical_or(refuted, label == 0.0)
    return ops.where(refuted, ops.zeros_like(product), product)


def _column(label: Any) -> Any:
    return ops.reshape(ops.cast(label, "float32"), (-1,))
