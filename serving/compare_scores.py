"""Compares what an exported model answers with the Keras model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..datasets import TableTransforms
from .compare_explanations import compare_explanations
from .export_report import ExportReport
from .quantization_cost import LIMITS, QuantizationCost

# Largest difference of a probability that rounding explains.
ROUNDING = 1e-5
# Rounding may move a row between two equally near groups; more such rows than this are an error.
MAX_BORDER_SHARE = 0.001


def compare_scores(
    model: Any,
    path: Path,
    transforms: TableTransforms | None,
    raw: Mapping[str, np.ndarray],
    asked: Mapping[str, np.ndarray],
    served: dict[str, dict[str, np.ndarray]],
    tolerance: float | None = None,
    program: str = "the SavedModel",
    table_dtype: str = "float32",
    labels: Mapping[str, np.ndarray] | None = None,
) -> ExportReport:
    """The report of a comparison, or an error where the two disagree.

    With quantized tables the two answer differently. Then the signatures are compared with `serving_default`, and what
    that differs from the model is measured.

    Args:
        model: the Keras model.
        path: what was exported.
        transforms: the fitted transforms, `None` if it takes model inputs.
        raw: the caller's rows.
        asked: the rows that were scored; the caller's come first.
        served: what was answered, outputs by signature: `serving_default`, `groups` if the model has any, and
            perhaps `explanations`.
        tolerance: largest difference of a probability, or loss of normalized entropy with quantized tables. Defaults
            to `None`: `ROUNDING`, or one of `LIMITS`.
        program: what answered, for messages. Defaults to `"the SavedModel"`.
        table_dtype: how the tables are kept in it. Defaults to `"float32"`.
        labels: labels of the caller's rows by task, for what quantized tables cost. Defaults to `None`.

    Raises:
        RuntimeError: when more rows differ than rounding explains, or quantized tables cost more than the tolerance.
    """
    inputs = dict(asked)
    if transforms is not None:
        inputs = {name: values.array for name, values in transforms.encode(asked).items()}
    expected = model.predict_proba(inputs)
    count, asked_count = (len(next(iter(columns.values()))) for columns in (raw, asked))
    border = np.zeros(asked_count, bool)
    for placement, ids in model.groups(inputs).items():
        border |= (ids != served["groups"][placement]).any(axis=-1)
    quantized = table_dtype != "float32"
    reference = served["serving_default"] if quantized else expected
    most = LIMITS.get(table_dtype, ROUNDING) if tolerance is None else tolerance
    limit = ROUNDING if quantized else most
    differences, signature = np.zeros(asked_count), np.full(asked_count, "serving_default", object)
    for name, task, scores in _scores(served, model.prediction_names):
        # The crossed rows come last.
        difference = np.abs(reference[task].reshape(-1)[asked_count - len(scores) :] - scores)
        worse = np.flatnonzero(~(difference <= differences[-len(scores) :])) + asked_count - len(scores)
        differences[worse], signature[worse] = difference[worse - asked_count + len(scores)], name
    # NaN compares false with everything, and is never within a tolerance.
    wrong = ~(differences <= limit) & (quantized | ~border)
    if wrong.any() or (not quantized and border.sum() > max(1, MAX_BORDER_SHARE * asked_count)):
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        scores = {t: (float(expected[t][row]), float(served["serving_default"][t][row])) for t in expected}
        raise RuntimeError(
            f"{program[0].upper()}{program[1:]} disagrees with the Keras model ({keras.backend.backend()} backend): "
            f"{int(wrong.sum())} of {asked_count} rows differ by more than {limit:g}, {int(border.sum())} fall "
            f"into other groups. First: row {row}, signature {signature[row]!r}, difference {differences[row]:.1e}; "
            f"(Keras, {program}) = {scores}."
        )
    answers = {task: served["serving_default"][task][:count] for task in model.prediction_names}
    cost = None
    if quantized:
        before = {task: expected[task][:count] for task in answers}
        cost = QuantizationCost.of(table_dtype, before, answers, labels or {}, float(border[:count].mean()))
        if not cost.worst <= most:
            raise RuntimeError(
                f"Tables in {table_dtype} raise the normalized entropy by {cost.worst:.4%}, which is more than the "
                f"tolerance of {most:.4%}.\n{cost}\nPass a larger tolerance, or another table_dtype."
            )
    if "explanations" in served:
        compare_explanations(model, transforms, asked, served["explanations"], border, most, table_dtype)
    return ExportReport(
        path=path,
        rows=count,
        max_difference=cost.max_difference if cost else float(differences[~border].max(initial=0.0)),
        border_rows=0 if quantized else int(border[:count].sum()),
        raw=dict(raw),
        program=program,
        probabilities=answers,
        cost=cost,
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
