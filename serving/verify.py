"""Compares a SavedModel with the Keras model it came from."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..datasets import TableTransforms
from .c_session import read_signatures
from .column_sides import ColumnSides
from .compare_explanations import EXPLAINED
from .compare_scores import compare_scores
from .examples import examples_argument, to_examples
from .export_report import ExportReport
from .fresh_process import score_in_fresh_process
from .row_columns import raw_rows, row_labels
from .warn_of_unknown import warn_of_unknown

# Users, and ads of each, that the signature `rank` is compared on.
REQUESTS, CANDIDATES = 4, 8


def verify(
    model: keras.Model,
    path: str | Path,
    transforms: TableTransforms | None = None,
    rows: Any = None,
    tolerance: float | None = None,
    table_dtype: str = "float32",
) -> ExportReport:
    """Score raw rows with a SavedModel in a fresh process and compare with the Keras model.

    The process uses TensorFlow's C library without TensorFlow's Python, if the installed TensorFlow has that library.
    Every signature is asked: raw columns, the same rows as `tf.Example`s, and users with lists of ads.

    `export` does this before it publishes; call it to check a version that exists.

    Args:
        model: the `CTRModel` that was exported.
        path: the version folder.
        transforms: the fitted transforms it was exported with, or `None`.
        rows: raw rows, a polars frame or a dict of columns (model inputs without
            transforms). `None` draws rows from the vocabularies. Defaults to `None`.
        tolerance: see `export`. Defaults to `None`.
        table_dtype: how the version keeps the rows of its tables, see `export`. Defaults to `"float32"`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: when `rows` lacks a column or is empty, or the transforms are not those of the model's table.
        RuntimeError: when the SavedModel does not answer, or answers otherwise.

    Warns:
        UserWarning: where far more tokens of a column are unknown than were in training.

    Example:

    ```python
    print(gr.serving.verify(model, "saved_models/my_model/1", transforms=table.transforms, rows=raw_rows))
    ```
    """
    path = Path(path)
    if transforms is not None:
        model.schema.check_fitted(transforms.schema, "the model", "the transforms")
    raw = raw_rows(model.schema, transforms, rows)
    names = read_signatures(path)
    sides = ColumnSides.of(
        model.schema, transforms.sources if transforms else {n: n for n in model.schema.feature_names}
    )
    crossed = sides.cross(raw, REQUESTS, CANDIDATES) if "rank" in names else {}
    rows_asked = {name: np.concatenate([values, crossed[name]]) if crossed else values for name, values in raw.items()}
    examples = np.array(to_examples(rows_asked), object)
    inputs: dict[str, Any] = {}
    for name in names:
        of_examples = examples_argument(name)
        inputs[name] = rows_asked if of_examples is None else {of_examples: examples}
    if crossed:
        inputs["rank"] = sides.fold(crossed, CANDIDATES)
    if "explanations" in names:
        inputs["explanations"] = {name: values[:EXPLAINED] for name, values in rows_asked.items()}
    served = score_in_fresh_process(path, inputs)
    report = compare_scores(
        model,
        path,
        transforms,
        raw,
        rows_asked,
        served,
        tolerance,
        table_dtype=table_dtype,
        labels=row_labels(model, rows),
    )
    return dataclasses.replace(report, unknown=warn_of_unknown(transforms, raw))
