"""Compares a SavedModel with the Keras model it came from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..datasets import TableTransforms
from .c_session import read_signatures
from .column_sides import ColumnSides
from .examples import to_examples
from .export_report import ExportReport
from .fresh_process import score_in_fresh_process
from .row_columns import raw_rows

# Rounding may tip a row that lies between two groups; more rows than this are an error.
MAX_BORDER_SHARE = 0.001
# Users, and ads of each, that the signature `rank` is compared on.
REQUESTS, CANDIDATES = 4, 8


def verify(
    model: Any,
    path: str | Path,
    transforms: TableTransforms | None = None,
    rows: Any = None,
    tolerance: float = 1e-5,
) -> ExportReport:
    """Score raw rows with a SavedModel in a fresh process and compare with the Keras model.

    The process is TensorFlow's C library, without any Python of TensorFlow's, where the
    installed TensorFlow brings it. Every signature is asked: raw columns, the same rows
    as `tf.Example`s, and users with lists of ads.

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
    raw = raw_rows(model.schema, transforms, rows)
    names = read_signatures(path)
    sides = ColumnSides.of(
        model.schema, transforms.sources if transforms else {n: n for n in model.schema.feature_names}
    )
    crossed = sides.cross(raw, REQUESTS, CANDIDATES) if "rank" in names else {}
    rows_asked = {name: np.concatenate([values, crossed[name]]) if crossed else values for name, values in raw.items()}
    examples = np.array(to_examples(rows_asked), object)
    inputs: dict[str, Any] = {}
    for name, (wanted, _) in names.items():
        of_examples = next((argument for argument in ("examples", "inputs") if argument in wanted), None)
        inputs[name] = rows_asked if of_examples is None else {of_examples: examples}
    if crossed:
        inputs["rank"] = sides.fold(crossed, CANDIDATES)
    served = score_in_fresh_process(path, inputs)
    return _compare(model, path, transforms, raw, rows_asked, served, tolerance)


def _compare(
    model: Any,
    path: Path,
    transforms: TableTransforms | None,
    raw: Mapping[str, np.ndarray],
    asked: Mapping[str, np.ndarray],
    served: dict[str, dict[str, np.ndarray]],
    tolerance: float,
) -> ExportReport:
    inputs = dict(asked) if transforms is None else transforms(asked)
    expected = model.predict_proba(inputs)
    count, asked_count = (len(next(iter(columns.values()))) for columns in (raw, asked))
    border = np.zeros(asked_count, bool)
    for placement, ids in model.groups(inputs).items():
        border |= (ids != served["groups"][placement]).any(axis=-1)
    differences, signature = np.zeros(asked_count), np.full(asked_count, "serving_default", object)
    for name, task, scores in _scores(served, model.prediction_names):
        # The crossed rows come last.
        difference = np.abs(expected[task][asked_count - len(scores) :] - scores)
        worse = np.flatnonzero(~(difference <= differences[-len(scores) :])) + asked_count - len(scores)
        differences[worse], signature[worse] = difference[worse - asked_count + len(scores)], name
    # NaN compares false with everything, and is never within a tolerance.
    wrong = ~(differences <= tolerance) & ~border
    if wrong.any() or border.sum() > max(1, MAX_BORDER_SHARE * asked_count):
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        scores = {t: (float(expected[t][row]), float(served["serving_default"][t][row])) for t in expected}
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model ({keras.backend.backend()} backend): {int(wrong.sum())} of "
            f"{asked_count} rows differ by more than {tolerance:g}, {int(border.sum())} fall into other groups. "
            f"First: row {row}, signature {signature[row]!r}, difference {differences[row]:.1e}; "
            f"(Keras, serving_default) = {scores}."
        )
    return ExportReport(
        path=path,
        rows=count,
        max_difference=float(differences[~border].max(initial=0.0)),
        border_rows=int(border[:count].sum()),
        raw=dict(raw),
        probabilities={task: served["serving_default"][task][:count] for task in model.prediction_names},
    )


def _scores(served: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Signature, prediction and its scores, of all signatures that score."""
    for task in names:
        for signature in ("serving_default", "serving_examples", "rank"):
            if signature in served:
                yield signature, task, served[signature][task].reshape(-1)
        if f"regress_{task}" in served:
            yield f"regress_{task}", task, served[f"regress_{task}"]["outputs"]
    if "classify" in served:
        classes = [name.decode() for name in served["classify"]["classes"][0]]
        for number, task in enumerate(classes):
            yield "classify", task, served["classify"]["scores"][:, number]
