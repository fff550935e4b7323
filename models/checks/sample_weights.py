"""Keras' `sample_weight` and `class_weight`, checked, as weights of rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .host_columns import on_host


def class_weights(
    class_weight: Mapping[int, float], task_names: Sequence[str], y: Any, sample_weight: Any
) -> np.ndarray:
    """A weight for each row: that of the class its label is nearest to, 1 where it is unknown.

    Args:
        class_weight: weight of the classes 0 and 1; one left out weighs 1.
        task_names: the model's tasks.
        y: labels by task, arrays.
        sample_weight: what was given beside it.

    Raises:
        ValueError: with several tasks, with a loader, beside `sample_weight`, or on other classes.

    Example:

    >>> class_weights({1: 5.0}, ["click"], {"click": np.array([0.0, 1.0, np.nan])}, None).tolist()
    [1.0, 5.0, 1.0]
    """
    instead = None
    if len(task_names) > 1:
        instead = f"With the tasks {list(task_names)} pass weights of rows: `sample_weight={{task: weights}}`."
    elif not isinstance(y, Mapping) or not isinstance(y[task_names[0]], np.ndarray):
        instead = "With a loader or tensors let the batches hold weights: `(x, y, sample_weight)`."
    elif sample_weight is not None:
        instead = "Multiply them into `sample_weight`, which was given too."
    if instead is not None:
        raise ValueError(f"`class_weight` is for the labels of one task, given as columns. {instead}")
    if not set(class_weight) <= {0, 1}:
        raise ValueError(f"`class_weight` may weigh the classes 0 and 1. Received: {dict(class_weight)}.")
    labels = np.asarray(y[task_names[0]], "float64").reshape(-1)
    weights = np.where(np.nan_to_num(labels) >= 0.5, class_weight.get(1, 1.0), class_weight.get(0, 1.0))
    return np.where(np.isnan(labels), 1.0, weights).astype("float32")


def checked_weights(y: Any, weight: Any) -> Any:
    """Sample weights as Keras wants them: one for every target; those of targets left out are 1."""
    named = isinstance(weight, Mapping)
    for name, values in weight.items() if named else [(None, weight)]:
        if named and isinstance(y, Mapping) and name not in y:
            raise ValueError(f"`sample_weight` names an unknown target {name!r}. Targets: {sorted(y)}.")
        if values is not None and on_host(values):
            column = np.asarray(values, "float64").reshape(-1)
            wrong = np.flatnonzero(~(np.isfinite(column) & (column >= 0)))
            if wrong.size:
                raise ValueError(
                    f"`sample_weight`{f' of {name!r}' if named else ''}, row {wrong[0]}: expected a finite number, "
                    f"not negative. Received: {column[wrong[0]]:g}; {wrong.size} of {column.size} rows are wrong."
                )
    if not named or not isinstance(y, Mapping):
        return np.asarray(weight, "float32") if not named and weight is not None and on_host(weight) else weight
    rows = len(next(iter(y.values())))
    return {name: weight.get(name, np.ones(rows, "float32")) for name in y}
