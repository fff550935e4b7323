"""Scores many ads for one user, and computes what depends on the user alone once."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import ops, tree

from ..layers import MLP, GroupConcat, SharedBottom
from .backbones import Backbone
from .backbones.candidate_rows import CandidateRows
from .backbones.factored_rows import FactoredRows
from .feature_embedder import FeatureEmbedder
from .parallel_towers import ParallelTowers

# Columns that come once a request; an ad's own come once a candidate.
REQUEST_SIDES = ("user", "context")


class _Once:
    """A tensor with a row a request where others have a row a candidate."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.repeated: Any = None


class _Joined:
    """Tensors of both kinds side by side, not joined yet: a dense layer need not see the one kind repeated."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts


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
        self._kept: Mapping[str, Any] | None = None

    def keep_weights(self, hold: Callable[[Any], Any]) -> None:
        """Arrange the layers' weights now, once and for all: for a graph that is traced afterwards to be served.

        Weights that change later are not noticed.

        Args:
            hold: makes of each arranged tensor what the graph is to read, such as a variable.
        """
        schema, self._kept = self._embedder.schema, {}
        columns = {f.name: ops.zeros((1, *f.shape), f.dtype) for f in schema.features}
        self.of_rows(columns)
        if schema.on_side(*REQUEST_SIDES) and schema.on_side("ad"):
            request, ads = (
                {f.name: columns[f.name] for f in schema.on_side(*sides)} for sides in (REQUEST_SIDES, ("ad",))
            )
            fields = self._fields_of(request, ads, CandidateRows(1, 1, self._kept))
            for fewest in dict.fromkeys((None, self._least_candidates(fields))):
                self._logits(fields, CandidateRows(1, 1, self._kept, fewest))
        # Closed from here on: a tensor of one trace must not be met in another.
        self._kept = MappingProxyType({key: hold(value) for key, value in self._kept.items()})

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

        of = CandidateRows(rows, count, self._kept)
        fields = self._fields_of({f.name: request[f.name] for f in sides[0]}, flat, of)
        least = self._least_candidates(fields)
        if least is None:
            return self._logits(fields, of)
        return self._fork(fields, of, least)

    def _fork(self, fields: Mapping[str, Any], of: CandidateRows, least: int) -> dict[str, Any]:
        """One request with many candidates, or any others; decided in the graph where numbers are not known before."""
        rows, count = of.requests, of.candidates
        by_side = CandidateRows(1, count, self._kept, least)
        if isinstance(rows, int) and isinstance(count, int):
            return self._logits(fields, by_side if rows == 1 and count >= least else of)
        many = ops.logical_and(ops.equal(rows, 1), ops.greater_equal(count, least))
        return ops.cond(many, lambda: self._logits(fields, by_side), lambda: self._logits(fields, of))

    def _logits(self, fields: Mapping[str, Any], rows: CandidateRows) -> dict[str, Any]:
        """Logits `(requests, candidates)` by name from fields, those of the request wrapped."""
        shape = (rows.requests, rows.candidates)
        # Wrapped anew: what is repeated in one branch of a graph is not there in the other.
        fields = {name: _Once(field.value) if isinstance(field, _Once) else field for name, field in fields.items()}
        logits = self._run(fields, rows)
        return {name: ops.reshape(_each(logits[name], rows), shape) for name in self._outputs}

    def _least_candidates(self, fields: Mapping[str, Any]) -> int | None:
        """What the backbone says of its fields' widths."""
        once = {id(self._fields[name]) for name, field in fields.items() if isinstance(field, _Once)}
        nodes = self._graph._nodes_by_depth
        for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
            if isinstance(node.operation, Backbone):
                widths = {True: 0, False: 0}
                for tensor in node.input_tensors:
                    widths[id(tensor) in once] += tensor.shape[-1]
                return node.operation.least_candidates(widths[True], widths[False])
            if node.input_tensors and all(id(tensor) in once for tensor in node.input_tensors):
                once.update(id(tensor) for tensor in node.outputs)
        return None

    def of_rows(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Logits `(rows,)` by name of rows with columns of their own, by the same faster way through the graph.

        Args:
            columns: a column for each feature, `(rows, ...)`.
        """
        fields = self._embedder.fields(*self._embedder.vectors(columns, training=False))
        logits = self._run(fields, CandidateRows(None, None, self._kept))
        return {name: ops.reshape(logits[name], (-1,)) for name in self._outputs}

    @functools.cached_property
    def _graph(self) -> keras.Function:
        return keras.Function(self._fields, self._outputs)

    @functools.cached_property
    def _towers(self) -> ParallelTowers:
        return ParallelTowers(self._graph)

    def _run(self, fields: dict[str, Any], rows: CandidateRows) -> dict[str, Any]:
        done: dict[int, Any] = {}

        def apply(operation: Any) -> Callable[..., Any]:
            if operation in self._towers:
                return lambda x: self._towers.run(operation, _each(x, rows, write=False), rows.weights, done)
            return lambda *args, **kwargs: _apply(operation, args, kwargs, rows)

        # The one way to call a graph's layers with values of one's own.
        return self._graph._run_through_graph(fields, operation_fn=apply)

    def _fields_of(
        self, request: Mapping[str, Any], candidates: Mapping[str, Any], rows: CandidateRows
    ) -> dict[str, Any]:
        """Fields of both sides, those of the request wrapped."""
        embedder = self._embedder
        vectors, masks = embedder.vectors(candidates, training=False)
        own, own_masks = embedder.vectors(request, training=False)
        vectors.update({name: _Once(value) for name, value in own.items()})
        masks.update({name: _Once(value) for name, value in own_masks.items()})
        for name in embedder.encoders:
            target = embedder.target(name)
            pair = [vectors[name], *([vectors[target]] if target else [])]
            if not all(isinstance(value, _Once) for value in pair):
                # A history that is read with an ad in mind.
                vectors[name], masks[name] = _each(vectors[name], rows), _each(masks[name], rows)
        return embedder.fields(vectors, masks)


def _apply(operation: Any, args: Any, kwargs: Any, rows: CandidateRows) -> Any:
    """One step of the graph: once a request if it can be, else once a candidate."""
    leaves = tree.flatten((args, kwargs))
    once = [leaf for leaf in leaves if isinstance(leaf, _Once)]
    each = [leaf for leaf in leaves if ops.is_tensor(leaf) or isinstance(leaf, _Joined | FactoredRows)]
    if once and not each:
        args, kwargs = tree.map_structure(_value, (args, kwargs))
        return tree.map_structure(_Once, operation(*args, **kwargs))
    if once and isinstance(operation, Backbone):
        fields = args[0]
        alike = {name: field.value for name, field in fields.items() if isinstance(field, _Once)}
        return operation.rank(alike, {name: field for name, field in fields.items() if name not in alike}, rows)
    if once and isinstance(operation, keras.layers.Concatenate) and all(leaf.value.ndim == 2 for leaf in once):
        return _Joined(list(args[0]))
    if isinstance(operation, GroupConcat) and operation.first is not None:
        x, concatenate = args[0], kwargs.get("concatenate", True)
        if isinstance(x, _Joined) and not concatenate:
            inputs = [(_value(part), isinstance(part, _Once)) for part in x.parts]
            return operation.after_first(rows.dense(operation.first, inputs))
        if isinstance(x, FactoredRows):
            groups = operation.after_first(x.dense(operation.first))
            return x.joined(groups) if concatenate else groups
    if isinstance(operation, MLP | SharedBottom) and isinstance(args[0], FactoredRows):
        network = operation if isinstance(operation, MLP) else operation.mlp
        y = args[0].through(network)
        return y if network is operation else dict.fromkeys(operation.task_names, y)
    args, kwargs = tree.map_structure(lambda leaf: _each(leaf, rows), (args, kwargs))
    return operation(*args, **kwargs)


def _each(leaf: Any, rows: CandidateRows, write: bool = True) -> Any:
    """A leaf with a row a candidate; `FactoredRows` are left so if they need not be written out."""
    if isinstance(leaf, FactoredRows):
        return leaf.value() if write else leaf
    if isinstance(leaf, _Joined):
        return ops.concatenate([_each(part, rows) for part in leaf.parts], axis=-1)
    if not isinstance(leaf, _Once):
        return leaf
    if leaf.repeated is None:
        leaf.repeated = rows.repeat(leaf.value)
    return leaf.repeated


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
