"""How a retrieval model finds ads in a whole corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.host_columns import as_host_array
from .candidate_index import CandidateIndex
from .corpus_recall import corpus_recall
from .retrieval_model import RetrievalModel
from .side_columns import side_columns


class CorpusSearchModel(RetrievalModel):
    """Base of retrieval models that are asked for the best ads of a corpus: an index, a search and its recall.

    A subclass makes the vectors.

    Example:

    See `TwoTowerModel`.
    """

    temperature: float

    def user_vectors(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Vectors of users, float32 `(rows, output_dim)`, from the columns of their side or a loader."""
        raise NotImplementedError

    def ad_vectors(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Vectors of ads, float32 `(rows, output_dim)`, from the columns of their side or a loader."""
        raise NotImplementedError

    def index(self, candidates: Mapping[str, Any], ids: ArrayLike | None = None) -> CandidateIndex:
        """The ads of a corpus with their vectors, ready to be searched.

        Args:
            candidates: columns of the ad's side, one row per ad.
            ids: what a search returns for each ad. `None` takes the column `ad_id`. Defaults to `None`.
        """
        return CandidateIndex(
            candidates[self.ad_id] if ids is None else ids, self.ad_vectors(candidates), self.temperature
        )

    def recommend(
        self, request: Any, candidates: Mapping[str, Any] | CandidateIndex, k: int = 10
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores of each user's `k` best ads, best first, `(rows, k)` each.

        Args:
            request: columns of the user's side and the context, one row per user, or a loader.
            candidates: columns of the ad's side, one row per ad, or an `index` of them.
            k: number of ads. Defaults to `10`.
        """
        index = candidates if isinstance(candidates, CandidateIndex) else self.index(candidates)
        return index.search(self.user_vectors(request), k)

    def evaluate_recall(
        self,
        x: Any,
        y: Any = None,
        *,
        candidates: Mapping[str, Any] | CandidateIndex,
        k: int | Sequence[int] = (10, 100),
    ) -> dict[str, float]:
        """Share of positives whose ad is among the `k` best of a whole corpus.

        A positive whose ad is not in the corpus counts as missed.

        Args:
            x: columns of both sides, or a loader of batches.
            y: targets, as for `fit`; `None` with a loader. Defaults to `None`.
            candidates: columns of the ad's side, one row per ad, or an `index` of them.
            k: a number of ads, or several. Defaults to `(10, 100)`.

        Returns:
            `{"recall_at_10": share, …}`, NaN without any positive.
        """
        self.schema.check_loader(x)
        index = candidates if isinstance(candidates, CandidateIndex) else self.index(candidates)

        def label(targets: Any) -> Any:
            return self._targets(targets)[self.positive]

        return corpus_recall(index, self.user_vectors, label, self.ad_id, x, y, k)

    def distinct_ads(self, x: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The distinct ads of some rows: for each id, the ad's columns of its first row.

        Args:
            x: columns, those of the ad's side among them.
        """
        columns = {name: as_host_array(values) for name, values in side_columns(self.ad_schema, x).items()}
        _, first = np.unique(columns[self.ad_id], return_index=True)
        return {name: values[first] for name, values in columns.items()}
