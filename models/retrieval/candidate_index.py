"""Ads with their vectors, searched exhaustively."""

from typing import Any

import numpy as np

# Scores held at a time, 64 MB of them.
_BLOCK = 16_000_000


class CandidateIndex:
    """The ads that can be recommended, and the exact best of them for a user.

    It is plain NumPy, and the reference that a served index is compared with.

    Args:
        ids: an id per ad, of any NumPy dtype.
        vectors: the ads' vectors, `(ads, dim)`.
        temperature: divisor of the products. Defaults to `1.0`.

    Raises:
        ValueError: if ids and vectors differ in number, there are none, or an id
            occurs twice.

    Example:

    >>> index = CandidateIndex(np.array([10, 20, 30]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    >>> ids, scores = index.search(np.array([[0.8, 0.6]]), k=2)
    >>> ids.tolist(), scores.tolist()
    ([[10, 20]], [[0.8..., 0.6...]])
    """

    def __init__(self, ids: Any, vectors: Any, temperature: float = 1.0) -> None:
        self.ids = np.asarray(ids).reshape(-1)
        self.vectors = np.asarray(vectors, "float32")
        self.temperature = temperature
        if self.vectors.ndim != 2 or len(self.ids) != len(self.vectors) or not len(self.ids):
            raise ValueError(
                "An index needs at least one vector, and an id for each vector. "
                f"Received: {len(self.ids)} ids, vectors of shape {self.vectors.shape}."
            )
        known, counts = np.unique(self.ids, return_counts=True)
        if len(known) < len(self.ids):
            raise ValueError(
                f"`ids` lists {len(self.ids) - len(known)} ads again, e.g. id {known[np.argmax(counts)]!r} "
                f"{counts.max()} times. Each ad can be recommended only once, so drop the repeated rows "
                "(`TwoTowerModel.distinct_ads` keeps the first of each)."
            )

    def scores(self, users: Any) -> np.ndarray:
        """Scores of all ads for user vectors `(rows, dim)`: `(rows, ads)`."""
        return np.asarray(users, "float32") @ self.vectors.T / np.float32(self.temperature)

    def search(self, users: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores of the `k` best ads, best first, `(rows, k)` each; of equal scores the first listed.

        Args:
            users: user vectors, `(rows, dim)`.
            k: number of ads.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(self.ids):
            raise ValueError(f"`k` must be an integer between 1 and the {len(self.ids)} ads. Received: k={k!r}.")
        users = np.asarray(users, "float32")
        step = max(1, _BLOCK // len(self.ids))
        blocks = [self._search(users[start : start + step], int(k)) for start in range(0, max(1, len(users)), step)]
        places, scores = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return self.ids[places], scores

    def _search(self, users: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = self.scores(users)
        if k < scores.shape[1]:
            # The k-th best score decides who may be among them; ties with it are cut by place.
            bound = np.partition(scores, -k, axis=1)[:, -k]
        else:
            bound = np.full(len(scores), -np.inf, "float32")
        places = np.empty((len(scores), k), "int64")
        for row, values in enumerate(scores):
            found = np.flatnonzero(~(values < bound[row]))
            places[row] = found[np.argsort(-values[found], kind="stable")][:k]
        return places, np.take_along_axis(scores, places, axis=1)
