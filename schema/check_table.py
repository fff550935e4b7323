"""Comparison of host arrays with a schema, in words."""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import Any

import numpy as np

from .features import Categorical, Feature, Sequence


def check_table(
    features: Items[Feature], task_names: Items[str], x: Mapping[str, Any], y: Mapping[str, Any] | None
) -> None:
    """Raise a `ValueError` that names the first column and row that disagree (see `Schema.check`)."""
    rows: dict[str, int] = {}
    for feature in features:
        values = _column(x, feature.name, "feature", [f.name for f in features])
        rows[feature.name] = len(values)
        _check_values(feature, values)
    if y is not None:
        for name in task_names:
            labels = _numbers(name, _column(y, name, "task", task_names)).reshape(-1)
            rows[name] = len(labels)
            wrong = np.flatnonzero((labels < 0) | (labels > 1))
            if wrong.size:
                raise ValueError(
                    f"Task {name!r}, row {wrong[0]}: a label must lie in [0, 1] (NaN where unobserved). Received: "
                    f"{labels[wrong[0]]:g}; {wrong.size} of {labels.size} rows are outside. Scale or clip the column."
                )
    if len(set(rows.values())) > 1:
        raise ValueError(f"All columns must have the same number of rows. Received: {rows}.")


def _column(table: Mapping[str, Any], name: str, kind: str, expected: Items[str]) -> np.ndarray:
    if name not in table:
        raise ValueError(
            f"The {kind} column {name!r} is missing. Expected: {list(expected)}. Received: {sorted(map(str, table))}."
        )
    try:
        values = np.asarray(table[name])
    except ValueError:
        raise ValueError(
            f"The {kind} column {name!r} is no array: its rows differ in length. Pad or cut them to one."
        ) from None
    if not values.ndim:
        raise ValueError(f"The {kind} column {name!r} must have a row axis. Received the single value {values}.")
    return values


def _numbers(task: str, labels: np.ndarray) -> np.ndarray:
    try:
        return labels.astype("float64")
    except (TypeError, ValueError):
        raise ValueError(
            f"Task {task!r}: expected numbers in [0, 1] (NaN where unobserved). Received dtype: {labels.dtype}."
        ) from None


def _check_values(feature: Feature, values: np.ndarray) -> None:
    described = f"Feature {feature.name!r} ({feature.kind})"
    single = not feature.shape and values.ndim == 2 and values.shape[1] == 1
    if not single and values.shape[1:] != feature.shape:
        raise ValueError(f"{described}: expected shape {('rows', *feature.shape)}. Received: {values.shape}.")
    if isinstance(feature, Categorical | Sequence):
        if values.dtype.kind not in "iu":
            raise ValueError(
                f"{described}: ids must be integers. Received dtype: {values.dtype}. Map the values to ids first."
            )
        wrong = np.argwhere((values < 0) | (values >= feature.vocabulary_size))
        expected = f"an id in [0, {feature.vocabulary_size})"
        unknown = "1" if isinstance(feature, Sequence) else "0"
        remedy = f"Map unknown values to id {unknown} (out-of-vocabulary) or enlarge vocabulary_size."
    else:
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{described}: expected numbers. Received dtype: {values.dtype}.")
        wrong = np.argwhere(~np.isfinite(values))
        expected = "a finite number"
        remedy = "Impute missing values first (the transforms of grouprank.datasets do)."
    if len(wrong):
        at = tuple(wrong[0])
        raise ValueError(
            f"{described}, row {at[0]}: expected {expected}. Received: {values[at]}; "
            f"{len(wrong)} of {values.size} values are wrong. {remedy}"
        )
