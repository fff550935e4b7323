"""Compares a SavedModel with the Keras model it came from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..datasets import TableTransforms
from .export_report import ExportReport
from .fresh_process import score_in_fresh_process
from .row_columns import row_columns
from .sample_rows import sample_rows

# Rounding may tip a row that lies between two groups; more rows than this are an error.
MAX_BORDER_SHARE = 0.001


def verify(
    model: Any,
    path: str | Path,
    transforms: TableTransforms | None = None,
    rows: Any = None,
    tolerance: float = 1e-5,
) -> ExportReport:
    """Score raw rows with a SavedModel in a fresh process and compare with the Keras model.

    `export` does this before it publishes; call it to check a version that exists.

    Args:
        model: the `CTRModel` that was exported.
        path: the version folder.
        transforms: the fitted transforms it was exported with, or `None`.
        rows: raw rows, a polars frame or a dict of columns (model inputs without
            transforms). `None` draws rows from the vocabularies. Defaults to `None`.
        tolerance: largest difference of a probability. Defaults to `1e-5`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: when `rows` lacks a column or is empty.
        RuntimeError: when the SavedModel does not answer, or answers otherwise.

    Example:

    ```python
    print(gr.serving.verify(model, "saved_models/my_model/1", transforms=table.transforms, rows=raw_rows))
    ```
    """
    path = Path(path)
    dtypes = dict.fromkeys(model.schema.feature_names) if transforms is None else transforms.raw_columns
    raw = row_columns(sample_rows(transforms, model.schema) if rows is None else rows, dtypes)
    served = score_in_fresh_process(path, raw)
    return _compare(model, path, transforms, raw, served, tolerance)


def _compare(
    model: Any,
    path: Path,
    transforms: TableTransforms | None,
    raw: Mapping[str, np.ndarray],
    served: dict[str, dict[str, np.ndarray]],
    tolerance: float,
) -> ExportReport:
    inputs = dict(raw) if transforms is None else transforms(raw)
    expected = model.predict_proba(inputs)
    count = len(next(iter(expected.values())))
    border = np.zeros(count, bool)
    for placement, ids in model.groups(inputs).items():
        border |= (ids != served["groups"][placement]).any(axis=-1)
    differences = np.max([np.abs(expected[task] - served["serving_default"][task]) for task in expected], axis=0)
    # NaN compares false with everything, and is never within a tolerance.
    wrong = ~(differences <= tolerance) & ~border
    if wrong.any() or border.sum() > max(1, MAX_BORDER_SHARE * count):
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        scores = {t: (float(expected[t][row]), float(served["serving_default"][t][row])) for t in expected}
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model ({keras.backend.backend()} backend): {int(wrong.sum())} of "
            f"{count} rows differ by more than {tolerance:g}, {int(border.sum())} fall into other groups. "
            f"First: row {row}, (Keras, SavedModel) = {scores}."
        )
    return ExportReport(
        path=path,
        rows=count,
        max_difference=float(differences[~border].max(initial=0.0)),
        border_rows=int(border.sum()),
        raw=dict(raw),
        probabilities={task: served["serving_default"][task] for task in model.prediction_names},
    )
