"""Compares what the signature `explanations` answers with `explain`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..models.ranking_model import probabilities_of
from .explain import explain
from .occlusion import FIELDS
from .quantization_cost import QuantizationCost

# Rows that are compared; each is scored as often as there are fields.
EXPLAINED = 64


def compare_explanations(
    model: Any,
    transforms: TableTransforms | None,
    asked: Mapping[str, np.ndarray],
    served: Mapping[str, np.ndarray],
    border: np.ndarray,
    limit: float,
    table_dtype: str = "float32",
) -> None:
    """Raise where the probabilities without a field disagree; with quantized tables, where they cost too much.

    Args:
        model: the Keras model.
        transforms: the fitted transforms, `None` if it takes model inputs.
        asked: rows of which the first `EXPLAINED` were explained.
        served: outputs of the signature.
        border: rows that lie between two groups, and are left out.
        limit: largest difference of a probability, or loss of normalized entropy with quantized tables.
        table_dtype: how the tables are kept. Defaults to `"float32"`.

    Raises:
        RuntimeError: when they disagree.
    """
    expected = explain(model, {name: values[:EXPLAINED] for name, values in asked.items()}, transforms)
    if served[FIELDS].astype(str).tolist() != [list(expected.fields)] * len(expected.as_unknown):
        raise RuntimeError(f"The SavedModel explains the fields {served[FIELDS].tolist()[:1]}, not {expected.fields}.")
    inner = ~border[:EXPLAINED]
    before, after = {}, {}
    for name, contributions in expected.contributions.items():
        # Where the score itself is 0 or 1, both sides start from the same finite log-odds.
        start = np.clip(expected.probabilities[name].astype("float64"), 1e-30, 1 - 1e-7)
        start = (np.log(start) - np.log1p(-start))[inner, np.newaxis]
        before[name], after[name] = (
            probabilities_of(start - part[inner]).reshape(-1) for part in (contributions, served[name])
        )
    if table_dtype != "float32":
        cost = QuantizationCost.of(table_dtype, before, after, {}, 0.0)
        if not cost.worst <= limit:
            raise RuntimeError(
                f"Without single fields, tables in {table_dtype} raise the normalized entropy by {cost.worst:.4%}, "
                f"which is more than the tolerance of {limit:.4%}. Pass a larger tolerance, or another table_dtype."
            )
        return
    worst = np.max([np.abs(after[name] - before[name]) for name in before], axis=0, initial=0.0)
    # A copy of a row may lie between two groups, too.
    wrong, allowed = int((~(worst <= limit)).sum()), max(1, worst.size // 1000) if model.group_concats else 0
    if wrong > allowed:
        place = int(np.argmax(np.where(np.isnan(worst), np.inf, worst)))
        row, field = divmod(place, len(expected.fields))
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model: signature 'explanations', {wrong} of {worst.size} "
            f"probabilities without a field differ by more than {limit:g}. The worst: row {np.flatnonzero(inner)[row]} "
            f"without {expected.fields[field]!r}, difference {worst[place]:.1e}."
        )
