"""Logits of many ads for one user each."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from ..feature_embedder import FeatureEmbedder
from ..ranking_graph import RankingNetwork
from .candidate_calls import CandidateCalls, worth_by_side
from .candidate_rows import Arranged, CandidateRows, Once, arrange_anew

# Columns that come once per request; an ad's own come once per candidate.
REQUEST_SIDES = ("user", "context")


class CandidateRanker:
    """Runs a model's layers for requests of one user and many ads. It keeps nothing: weights are read at each call.

    Args:
        embedder: the model's.
        network: the model's.
    """

    def __init__(self, embedder: FeatureEmbedder, network: RankingNetwork) -> None:
        self._embedder, self._network = embedder, network

    def __call__(
        self,
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
        arranged: Arranged = arrange_anew,
        shape: tuple[Any, Any] | None = None,
    ) -> dict[str, Any]:
        """Logits `(requests, candidates)` by name; see `CTRModel.rank_logits`."""
        schema = self._embedder.schema
        of_request, of_candidates = schema.on_side(*REQUEST_SIDES), schema.on_side("ad")
        if not of_request or not of_candidates:
            raise ValueError(
                "To rank ads for a user, a schema needs features of both: side='user' or 'context', and side='ad'. "
                f"Request: {[f.name for f in of_request]}. Candidates: {[f.name for f in of_candidates]}."
            )
        _check(of_request, request, "request", ("requests",))
        _check(of_candidates, candidates, "candidates", ("requests", "candidates") if shape is None else ("rows",))
        once = {f.name: request[f.name] for f in of_request}
        each = {f.name: candidates[f.name] for f in of_candidates}
        if shape is None:
            shape = ops.shape(each[of_candidates[0].name])[:2]
            each = {f.name: ops.reshape(each[f.name], (-1, *f.shape)) for f in of_candidates}

        requests, count = shape
        calls = CandidateCalls(CandidateRows(requests, count, arranged))
        fields = self._fields(once, each, calls)
        fields |= self._network.groups(fields, calls)[0]
        least = worth_by_side(self._network.backbone, fields)

        def logits(one_request: bool) -> dict[str, Any]:
            found = self._logits(fields, CandidateRows(requests, count, arranged, one_request))
            return {name: ops.reshape(value, (requests, count)) for name, value in found.items()}

        if least is None:
            return logits(False)
        # One request with many candidates, or any others. In a graph the numbers are known only when it runs.
        if isinstance(requests, int) and isinstance(count, int):
            return logits(requests == 1 and count >= least)
        many = ops.logical_and(ops.equal(requests, 1), ops.greater_equal(count, least))
        return ops.cond(many, lambda: logits(True), lambda: logits(False))

    def of_rows(self, columns: Mapping[str, Any], arranged: Arranged = arrange_anew) -> dict[str, Any]:
        """Logits `(rows,)` by name; see `CTRModel.row_logits`."""
        rows = CandidateRows(None, None, arranged)
        fields = self._embedder.fields(*self._embedder.vectors(columns, training=False))
        fields |= self._network.groups(fields, CandidateCalls(rows))[0]
        return {name: ops.reshape(value, (-1,)) for name, value in self._logits(fields, rows).items()}

    def _logits(self, fields: Mapping[str, Any], rows: CandidateRows) -> dict[str, Any]:
        calls = CandidateCalls(rows)
        _, by_task = self._network.representations(fields, calls)
        return self._network.logits(by_task, calls)

    def _fields(self, once: Mapping[str, Any], each: Mapping[str, Any], calls: CandidateCalls) -> dict[str, Any]:
        """Fields of both sides, those of the request wrapped in `Once`."""
        vectors, masks = self._embedder.vectors(each, training=False)
        for found, of_request in zip((vectors, masks), self._embedder.vectors(once, training=False), strict=True):
            found.update({name: Once(value) for name, value in of_request.items()})
        return self._embedder.fields(vectors, masks, calls)


def _check(features: Any, columns: Mapping[str, Any], argument: str, axes: tuple[str, ...]) -> None:
    missing = [f.name for f in features if f.name not in columns]
    if missing:
        raise ValueError(
            f"`{argument}` lacks the columns {missing}. Expected: {[f.name for f in features]}. "
            f"Received: {sorted(columns)}."
        )
    for feature in features:
        shape = tuple(columns[feature.name].shape)
        if len(shape) != len(axes) + len(feature.shape) or shape[len(axes) :] != feature.shape:
            raise ValueError(
                f"`{argument}`, column {feature.name!r}: expected the shape {(*axes, *feature.shape)}. "
                f"Received: {shape}."
            )
