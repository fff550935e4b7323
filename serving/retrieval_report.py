"""What a retrieval export wrote and how closely it was checked."""

import dataclasses
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class RetrievalReport:
    """Result of `export_retrieval` and `export_generative_retrieval`.

    Args:
        path: the version folder.
        rows: number of raw user rows compared with the Keras model.
        max_difference: largest difference of a score over them.
        border_rows: rows that rounding moved between two groups, or over the end of a beam; they are not in the
            figures.
        recall: share of the exact best ads that the index found, `1.0` for `"brute_force"`; or of the items that the
            Keras model's beam search finds.
        raw: the raw columns compared.
        ids: what the SavedModel answered for them, `(rows, k)`, best first.
        scores: the scores of `ids`.

    Example:

    >>> print(RetrievalReport(Path("m/1"), 100, 2e-7, 0, 1.0, {}, np.zeros((100, 5)), np.zeros((100, 5))))
    m/1: best 5 ads of 100 raw rows by the SavedModel in a fresh process, largest difference to Keras 2.0e-07, ...
    """

    path: Path
    rows: int
    max_difference: float
    border_rows: int
    recall: float
    raw: dict[str, np.ndarray]
    ids: np.ndarray
    scores: np.ndarray

    def __str__(self) -> str:
        text = (
            f"{self.path}: best {self.ids.shape[1]} ads of {self.rows} raw rows by the SavedModel in a fresh process, "
            f"largest difference to Keras {self.max_difference:.1e}, recall {self.recall:.3f}"
        )
        return text + (f" ({self.border_rows} rows on a border left out)" if self.border_rows else "")
