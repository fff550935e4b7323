"""How often the clicked ad is among the best of all ads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks.host_columns import as_host_array
from .candidate_index import CandidateIndex
from .side_columns import batches


def corpus_recall(
    index: CandidateIndex,
    user_vectors: Callable[[Any], np.ndarray],
    label: Callable[[Any], Any],
    ad_id: str,
    x: Any,
    y: Any,
    k: int | Sequence[int],
) -> dict[str, float]:
    """Weighted share of positives whose ad is among the `k` best of an index.

    Args:
        index: the corpus.
        user_vectors: columns to vectors.
        label: targets to labels, NaN where unknown.
        ad_id: name of the column that holds each row's ad.
        x: columns, or a loader of batches.
        y: targets, or `None` with a loader.
        k: a number of ads, or several.

    Returns:
        `{"recall_at_10": share, …}`, NaN without any positive.

    Example:

    >>> index = CandidateIndex([5, 6], [[1.0], [-1.0]])
    >>> x, y = {"score": np.array([[2.0], [3.0]]), "ad_id": np.array([5, 6])}, np.array([1.0, 1.0])
    >>> corpus_recall(index, lambda columns: columns["score"], lambda y: y, "ad_id", x, y, k=1)
    {'recall_at_1': 0.5}
    """
    sizes = [int(k)] if isinstance(k, int | np.integer) else sorted({int(size) for size in k})
    hits, total = np.zeros(len(sizes)), 0.0
    for columns, targets in batches(x, y):
        labels = np.nan_to_num(as_host_array(label(targets)).reshape(-1).astype("float64"))
        positives = np.flatnonzero(labels)
        total += labels.sum()
        if positives.size:
            columns = {name: as_host_array(values)[positives] for name, values in columns.items()}
            found = index.search(user_vectors(columns), sizes[-1])[0] == columns[ad_id].reshape(-1, 1)
            hits += [labels[positives][found[:, :size].any(axis=1)].sum() for size in sizes]
    shares = hits / total if total else np.full(len(sizes), np.nan)
    return {f"recall_at_{size}": float(share) for size, share in zip(sizes, shares, strict=True)}
