"""Scores many ads for one user, and computes what depends on the user alone once."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops, tree

from .backbones import Backbone
from .feature_embedder import FeatureEmbedder

# Columns that come once a request; an ad's own come once a candidate.
REQUEST_SIDES = ("user", "context")


class _Once:
    """A tensor with a row a request where others have a row a candidate."""

    def __init__(self, value: Any) -> None:
        self.value = value


class CandidateRanker:
    """The logits of a model's graph for requests of one user and many ads.

    Runs the layers of the graph one by one. What reads columns of the request alone is computed once a request; the
    first layer that also reads an ad gets it repeated.

    Args:
        embedder: the model's.
        fields: its symbolic fields.
        outputs: symbolic logits by name.
    """

    def __init__(self, embedder: FeatureEmbedder, fields: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self._embedder, self._fields, self._outputs = embedder, dict(fields), dict(outputs)
        self._function: keras.Function | None = None

    def __call__(self, request: Mapping[str, Any], candidates: Mapping[str, Any]) -> dict[str, Any]:
        """Logits `(requests, candidates)` by name; see `CTRModel.rank`."""
        schema = self._embedder.schema
        sides = [schema.on_side(*REQUEST_SIDES), schema.on_side("ad")]
        if not all(sides):
            raise ValueError(
                "To rank ads for a user, a schema needs features of both: side='user' or 'context', and side='ad'. "
                f"Request: {[f.name for f in sides[0]]}. Candidates: {[f.name for f in sides[1]]}."
            )
        for features, columns, argument, axes in zip(
            sides, (request, candidates), ("request", "candidates"), (1, 2), strict=True
        ):
            _check(features, columns, argument, axes)
        rows, count = ops.shape(candidates[sides[1][0].name])[:2]
        flat = {f.name: ops.reshape(candidates[f.name], (-1, *f.shape)) for f in sides[1]}

        # One index for all: a repetition of its own for each field is many small operations.
        request_of = ops.repeat(ops.arange(rows, dtype="int32"), count)

        def for_each(value: Any) -> Any:
            return ops.take(value, request_of, axis=0)

        def repeat(leaf: Any) -> Any:
            return for_each(leaf.value) if isinstance(leaf, _Once) else leaf

        def apply(operation: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                leaves = tree.flatten((args, kwargs))
                once = any(isinstance(leaf, _Once) for leaf in leaves)
                if once and not any(ops.is_tensor(leaf) for leaf in leaves):
                    args, kwargs = tree.map_structure(_value, (args, kwargs))
                    return tree.map_structure(_Once, operation(*args, **kwargs))
                if once and isinstance(operation, Backbone):
                    fields = args[0]
                    alike = {name: field.value for name, field in fields.items() if isinstance(field, _Once)}
                    others = {name: field for name, field in fields.items() if name not in alike}
                    return operation.rank(alike, others, for_each)
                args, kwargs = tree.map_structure(repeat, (args, kwargs))
                return operation(*args, **kwargs)

            return run

        fields = self._fields_of({f.name: request[f.name] for f in sides[0]}, flat, repeat)
        # The one way to call a graph's layers with values of one's own.
        logits = self._graph()._run_through_graph(fields, operation_fn=apply)
        return {name: ops.reshape(repeat(logits[name]), (rows, count)) for name in self._outputs}

    def _graph(self) -> keras.Function:
        if self._function is None:
            self._function = keras.Function(self._fields, self._outputs)
        return self._function

    def _fields_of(
        self, request: Mapping[str, Any], candidates: Mapping[str, Any], repeat: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """Fields of both sides, those of the request wrapped."""
        embedder = self._embedder
        vectors, masks = embedder.vectors(candidates)
        own, own_masks = embedder.vectors(request)
        vectors.update({name: _Once(value) for name, value in own.items()})
        masks.update({name: _Once(value) for name, value in own_masks.items()})
        for name in embedder.encoders:
            target = embedder.target(name)
            pair = [vectors[name], *([vectors[target]] if target else [])]
            if not all(isinstance(value, _Once) for value in pair):
                # A history that is read with an ad in mind.
                vectors[name], masks[name] = repeat(vectors[name]), repeat(masks[name])
        return embedder.fields(vectors, masks)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, _Once) else leaf


def _check(features: Any, columns: Mapping[str, Any], argument: str, axes: int) -> None:
    missing = [f.name for f in features if f.name not in columns]
    if missing:
        raise ValueError(
            f"`{argument}` lacks the columns {missing}. Expected: {[f.name for f in features]}. "
            f"Received: {sorted(columns)}."
        )
    wanted = ("requests",) if axes == 1 else ("requests", "candidates")
    for feature in features:
        shape = tuple(columns[feature.name].shape)
        if len(shape) != axes + len(feature.shape) or shape[axes:] != feature.shape:
            raise ValueError(
                f"`{argument}`, column {feature.name!r}: expected the shape {(*wanted, *feature.shape)}. "
                f"Received: {shape}."
            )
