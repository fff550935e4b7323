"""Compares a SavedModel with the Keras model it came from."""

import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableTransforms
from .export_report import ExportReport
from .fresh_process import run_fresh_process
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
    raw = _columns(sample_rows(transforms, model.schema) if rows is None else rows, transforms, model)
    served = _score_in_fresh_process(path, raw)
    return _compare(model, path, transforms, raw, served, tolerance)


def _columns(rows: Any, transforms: TableTransforms | None, model: Any) -> dict[str, np.ndarray]:
    """The columns that the signature takes, as NumPy arrays of its dtypes."""
    if transforms is None:
        names: Any = dict.fromkeys(model.schema.feature_names)
    else:
        names = transforms.raw_columns
    available = rows.columns if isinstance(rows, pl.DataFrame) else list(rows)
    missing = [name for name in names if name not in available]
    if missing:
        raise ValueError(
            f"`rows` lacks the raw columns {missing}. Expected: {list(names)}. Received: {list(available)}."
        )
    columns = {}
    for name, dtype in names.items():
        values = rows[name]
        if isinstance(values, pl.Series):
            values = (values.fill_null("") if dtype == "string" else values).to_numpy()
        if dtype == "string":
            values = np.array(
                [v if isinstance(v, bytes) else str("" if v is None else v).encode() for v in values], object
            )
        elif dtype == "float32":
            values = np.asarray(values, "float32")
        columns[name] = np.asarray(values)
    if not len(next(iter(columns.values()))):
        raise ValueError("`rows` is empty; the SavedModel is compared on at least one row.")
    return columns


def _score_in_fresh_process(saved_model: Path, raw: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    with tempfile.TemporaryDirectory() as work:
        rows, scores = Path(work) / "rows.pickle", Path(work) / "scores.pickle"
        rows.write_bytes(pickle.dumps(dict(raw)))
        # As a file, not as a module: the process must know neither Keras nor this package.
        script = Path(__file__).with_name("score_rows.py")
        run_fresh_process([str(script), str(saved_model), str(rows), str(scores)], f"{saved_model} does not answer")
        return pickle.loads(scores.read_bytes())


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
