"""Logits of many ads for one user each."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from ...schema import Schema
from ..feature_embedder import FeatureEmbedder
from ..ranking_graph import RankingNetwork
from .candidate_calls import CandidateCalls, before_crosses, worth_by_side
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
        rows = CandidateRows(requests, count, arranged)
        calls = CandidateCalls(rows)
        fields: Any = self._fields(once, each, calls)
        fields |= self._network.groups(fields, calls)[0]
        least = worth_by_side(self._network.backbone, fields)

        def of_towers(one_request: bool = False) -> dict[str, Any]:
            rows = CandidateRows(requests, count, arranged, one_request)
            return self._first_layers(fields, CandidateCalls(rows))

        if least is None:
            first = of_towers()
        else:
            fields = before_crosses(self._network.backbone, rows, fields)
            # A graph knows the numbers only when it runs, so it needs a condition. Every tensor that goes into one and
            # every operation in it takes time, also in the branch that is not taken. That is why what both branches
            # have in common is done before the condition or after it.
            if isinstance(requests, int) and isinstance(count, int):
                first = of_towers(requests == 1 and count >= least)
            else:
                many = ops.logical_and(ops.equal(requests, 1), ops.greater_equal(count, least))
                first = ops.cond(many, lambda: of_towers(True), of_towers)
        return {name: ops.reshape(value, shape) for name, value in self._logits(first, calls).items()}

    def take_schema(self, schema: Schema) -> None:
        """Replace the schema of the model's parts by one of the same features."""
        self._embedder.schema = self._network.schema = schema

    def of_rows(self, columns: Mapping[str, Any], arranged: Arranged = arrange_anew) -> dict[str, Any]:
        """Logits `(rows,)` by name; see `CTRModel.row_logits`."""
        calls = CandidateCalls(CandidateRows(None, None, arranged))
        fields = self._embedder.fields(*self._embedder.vectors(columns, training=False))
        fields |= self._network.groups(fields, calls)[0]
        logits = self._logits(self._first_layers(fields, calls), calls)
        return {name: ops.reshape(value, (-1,)) for name, value in logits.items()}

    def _first_layers(self, fields: Any, calls: CandidateCalls) -> dict[str, Any]:
        """What the first layer of each task's tower gives."""
        _, by_task = self._network.representations(fields, calls)
        return calls.first_layers(self._network.towers, by_task)

    def _logits(self, first: Mapping[str, Any], calls: CandidateCalls) -> dict[str, Any]:
        towers = self._network.towers
        return self._network.logits({name: towers[name].after_first(first[name]) for name in towers}, calls)

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
