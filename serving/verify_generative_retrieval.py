"""Compares a generative SavedModel with the Keras model."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from ..models import GenerativeRetrievalModel
from .compare_scores import MAX_BORDER_SHARE
from .fresh_process import score_in_fresh_process
from .retrieval_report import RetrievalReport


def verify_generative_retrieval(
    model: GenerativeRetrievalModel, path: Path, raw: Mapping[str, np.ndarray], k: int, beam: int, tolerance: float
) -> RetrievalReport:
    """Ask a SavedModel in a fresh process for the items of some rows and compare.

    Each served item must have the score that the Keras model gives it, and each place the score that it has in the
    Keras model's search. Items whose scores differ only by rounding may change places. So may prefixes at the end of a
    beam, where another item may then be found; of such rows, on a border, there may be few.

    Args:
        model: the model that was exported.
        path: the version folder.
        raw: columns of the signature.
        k: number of items.
        beam: number of prefixes kept.
        tolerance: largest difference of a score, as a share of the largest score above 1.

    Raises:
        RuntimeError: when the SavedModel does not answer, or answers otherwise.

    Example:

    ```python
    report = verify_generative_retrieval(model, path, {"history": histories}, k=10, beam=20, tolerance=1e-5)
    ```
    """
    answer = score_in_fresh_process(path, {"serving_default": raw})["serving_default"]
    items, scores = answer["items"], answer["scores"]
    best_items, best_scores = model.retrieve(raw, k, beam)
    limit = tolerance * max(1.0, float(np.abs(best_scores).max()))
    differences = np.abs(model.score(raw, items) - scores).max(axis=1)
    of_places = np.abs(best_scores - scores).max(axis=1)
    repeated = np.array([len(np.unique(row)) < len(row) for row in items])
    # NaN compares false with everything, and is never within a limit.
    wrong = ~(differences <= limit) | repeated
    # A beam of all items has no end at which a prefix could be lost.
    border = ~(of_places <= limit) & ~wrong
    allowed = 0 if beam >= model.tree.num_leaves else max(1, MAX_BORDER_SHARE * len(items))
    if wrong.any() or border.sum() > allowed:
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model ({keras.backend.backend()} backend): {int(wrong.sum())} of "
            f"{len(items)} rows have scores that differ by more than {limit:g} or name an item twice, "
            f"{int(border.sum())} lack items of the Keras model's. First: row {row}, SavedModel "
            f"{items[row, :5].tolist()} {scores[row, :5].tolist()}, Keras {best_items[row, :5].tolist()} "
            f"{best_scores[row, :5].tolist()}."
        )
    counted = ~border
    hits = [len(np.intersect1d(a, b)) for a, b in zip(items[counted], best_items[counted], strict=True)]
    return RetrievalReport(
        path=path,
        rows=len(items),
        max_difference=float(np.maximum(differences, of_places)[counted].max(initial=0.0)),
        border_rows=int(border.sum()),
        recall=float(np.mean(hits) / k),
        raw=dict(raw),
        ids=items,
        scores=scores,
    )
