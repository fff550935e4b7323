"""Compares a retrieval SavedModel with the Keras model and an exhaustive search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..models.retrieval import CandidateIndex
from .c_session import read_signatures
from .compare_scores import MAX_BORDER_SHARE
from .fresh_process import score_in_fresh_process
from .retrieval_report import RetrievalReport


def verify_retrieval(
    model: Any,
    path: Path,
    index: CandidateIndex,
    raw: Mapping[str, np.ndarray],
    inputs: Mapping[str, Any],
    exact: bool,
    tolerance: float,
) -> RetrievalReport:
    """Ask a SavedModel in a fresh process for the best ads of raw rows and compare.

    Ads whose scores differ only by rounding may change places, so scores are compared instead of ids: the best possible
    score at each place (which an approximate index may miss), and the own score of each served ad.

    Args:
        model: the `TwoTowerModel` that was exported.
        path: the version folder.
        index: the ads it was exported with.
        raw: columns of the signature.
        inputs: the same rows as model inputs.
        exact: whether the index is to find the best ads, all of them.
        tolerance: largest difference of a score, as a share of the largest score above 1.

    Raises:
        RuntimeError: when the SavedModel does not answer, or answers otherwise.

    Example:

    ```python
    report = verify_retrieval(model, path, model.index(ads), rows, rows, exact=True, tolerance=1e-5)
    ```
    """
    served = score_in_fresh_process(path, dict.fromkeys(read_signatures(path), raw), () if exact else ("scann",))
    answer = served["serving_default"]
    ids, scores = _decoded(answer["ids"], index.ids.dtype), answer["scores"]
    users = model.user_vectors(inputs)
    best_ids, best_scores = index.search(users, scores.shape[1])
    border = np.zeros(len(users), bool)
    for placement, groups in model.groups(inputs).items():
        border |= (groups != served["groups"][placement]).any(axis=-1)
    differences = np.abs(_scores_of(index, users, ids) - scores)
    if exact:
        differences = np.maximum(differences, np.abs(best_scores - scores))
    limit = tolerance * max(1.0, float(np.abs(best_scores).max()))
    differences = np.maximum(differences.max(axis=1), np.abs(served["user_vectors"]["vectors"] - users).max(axis=1))
    repeated = np.array([len(np.unique(row)) < len(row) for row in ids])
    # NaN compares false with everything, and is never within a limit.
    wrong = (~(differences <= limit) | repeated) & ~border
    if wrong.any() or border.sum() > max(1, MAX_BORDER_SHARE * len(users)):
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model ({keras.backend.backend()} backend): {int(wrong.sum())} of "
            f"{len(users)} rows differ by more than {limit:g} or name an ad twice, {int(border.sum())} fall into other "
            f"groups. First: row {row}, SavedModel {ids[row, :5].tolist()} {scores[row, :5].tolist()}, Keras "
            f"{best_ids[row, :5].tolist()} {best_scores[row, :5].tolist()}."
            + ("" if exact else " An index that finds fewer than `k` ads needs a greater `num_leaves_to_search`.")
        )
    counted = ~border
    hits = [len(np.intersect1d(a, b)) for a, b in zip(ids[counted], best_ids[counted], strict=True)]
    return RetrievalReport(
        path=path,
        rows=len(users),
        max_difference=float(differences[counted].max(initial=0.0)),
        border_rows=int(border.sum()),
        # Of ads with one score either may be the last; an exact index that passed has found as good ones.
        recall=1.0 if exact else float(np.mean(hits) / ids.shape[1]),
        raw=dict(raw),
        ids=ids,
        scores=scores,
    )


def _decoded(ids: np.ndarray, dtype: Any) -> np.ndarray:
    return np.char.decode(ids.astype(bytes), "utf-8").astype(dtype) if ids.dtype.kind in "OS" else ids.astype(dtype)


def _scores_of(index: CandidateIndex, users: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The Keras model's scores of given ads, NaN for ids that are none."""
    order = np.argsort(index.ids)
    places = order[np.searchsorted(index.ids, ids, sorter=order).clip(max=len(order) - 1)]
    scores = np.einsum("rd,rkd->rk", users, index.vectors[places]) / index.temperature
    return np.where(index.ids[places] == ids, scores, np.nan)
