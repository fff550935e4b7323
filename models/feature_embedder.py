"""The layers that make vectors of columns."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from keras import ops

from ..layers import EmbeddingCollection, NumericEmbedding, SequenceEncoder
from ..schema import Categorical, Numeric, Schema, Sequence, Vector, Weights
from .layer_calls import LayerCalls


def target_of(schema: Schema, sequence: str) -> str | None:
    """The categorical feature whose ids a sequence lists: the one it shares, or the only one of its table.

    Args:
        schema: the table.
        sequence: name of a `Sequence`.
    """
    feature = schema[sequence]
    owner = feature.shares if isinstance(feature, Sequence) else None
    if owner is not None:
        # One that shares another sequence's rows has no single target.
        return owner if isinstance(schema[owner], Categorical) else None
    table = schema.table_of(sequence)
    found = [f.name for f in schema.features if isinstance(f, Categorical) and schema.table_of(f.name) == table]
    return found[0] if len(found) == 1 else None


class FeatureEmbedder:
    """Makes a vector of every column that is given, with the layers of a model.

    In two steps, so that columns of a request and columns of its candidates can be embedded apart: `vectors` looks
    columns up one by one, `fields` lets the encoders of sequences look at what is ranked.

    Args:
        schema: the table.
        collection: table of ids and sequences, `None` if the schema has none.
        numeric: layer of the numbers side by side, `None` likewise.
        projections: a layer by `Vector`.
        encoders: encoders of the sequences that are not simply averaged, by name.
        semantic_ids: embeddings by semantic id; each is one more field, `"FEATURE:semantic_ids"`.
        poolings: a `WeightedPooling` by sequence that has `Weights`.
        with_steps: sequences with an encoder whose positions are fields, too: `"NAME:steps"`, `(batch, length, width)`,
            and `"NAME:mask"`, `False` where a position does not count. Defaults to `()`.
    """

    def __init__(
        self,
        schema: Schema,
        collection: EmbeddingCollection | None,
        numeric: NumericEmbedding | None,
        projections: Mapping[str, Any],
        encoders: Mapping[str, SequenceEncoder],
        semantic_ids: Mapping[str, Any],
        poolings: Mapping[str, Any],
        with_steps: Collection[str] = (),
    ) -> None:
        self.schema, self.collection, self.numeric = schema, collection, numeric
        self.projections, self.encoders, self.semantic_ids = projections, encoders, semantic_ids
        self.poolings, self.with_steps = poolings, with_steps

    def vectors(self, inputs: Mapping[str, Any], training: bool | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Vectors of the columns given, by field, and masks of the sequences that an encoder is to read.

        Args:
            inputs: columns by feature name, all or some of the schema's; symbolic or tensors of one batch size.
            training: whether a fused table may train the rows read.
        """
        found, masks = dict[str, Any](), dict[str, Any]()
        ids = {f.name: inputs[f.name] for f in self._given(inputs, Categorical | Sequence)}
        if ids and self.collection is not None:
            found.update(self.collection(ids, training=training))
            masks = self.collection.sequence_masks(ids)
        for part in self._given(inputs, Sequence):
            if part.beside is not None:
                found[part.beside] = found[part.beside] + found.pop(part.name)
                masks.pop(part.name)
        for weights in self._given(inputs, Weights):
            name = weights.of
            found[name] = self.poolings[name](found[name], inputs[weights.name], mask=masks.pop(name))
        given = [f.name for f in self._given(inputs, Numeric)]
        if given and self.numeric is not None:
            # One layer for all numbers: those that are not given are multiplied as zeros and dropped.
            zero = None if len(given) == len(self._numbers) else ops.zeros_like(inputs[given[0]])
            columns = ops.stack([inputs.get(name, zero) for name in self._numbers], axis=-1)
            scaled = self.numeric(columns)
            found.update({name: scaled[:, self._numbers.index(name)] for name in given})
        for feature in self._given(inputs, Vector):
            found[feature.name] = self.projections[feature.name](inputs[feature.name])
        for name, layer in self.semantic_ids.items():
            if name in inputs:
                found[f"{name}:semantic_ids"] = layer(inputs[name])
        return found, masks

    def fields(
        self, vectors: Mapping[str, Any], masks: Mapping[str, Any], calls: LayerCalls | None = None
    ) -> dict[str, Any]:
        """The vectors with the sequences' encoders applied, in the schema's order.

        Args:
            vectors: all that `vectors` gives for all columns, of one batch size.
            masks: likewise.
            calls: how the encoders are called. Defaults to as Keras does.
        """
        fields, calls = dict(vectors), calls or LayerCalls()
        for name, encoder in self.encoders.items():
            target = self.target(name) if encoder.reads_target else None
            ranked = None if target is None else fields[target]
            fields[name] = calls.layer(encoder, fields[name], target=ranked, mask=masks[name])
        names = [*self.schema.field_names(), *(f"{name}:semantic_ids" for name in self.semantic_ids)]
        steps: dict[str, Any] = {}
        for name in self.with_steps:
            steps |= {f"{name}:steps": vectors[name], f"{name}:mask": masks[name]}
        return {name: fields[name] for name in names} | steps

    def target(self, sequence: str) -> str | None:
        """The feature that a history is made of, if it shares the rows of what is ranked."""
        return target_of(self.schema, sequence)

    @property
    def _numbers(self) -> list[str]:
        return [f.name for f in self.schema.features if isinstance(f, Numeric)]

    def _given(self, names: Any, kind: Any) -> Iterator[Any]:
        return (f for f in self.schema.features if f.name in names and isinstance(f, kind))
