"""From a schema to model inputs and embedded fields."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ..layers import (
    EmbeddingCollection,
    FusedEmbeddingCollection,
    NumericEmbedding,
    SemanticIdEmbedding,
    SequenceEncoder,
)
from ..schema import Categorical, Numeric, Schema, Sequence, Vector

# From here on `docs/benchmarks/embedding_scaling.md` finds the fused table no slower on any backend; at a million rows
# it is clearly faster.
FUSED_FROM_ROWS = 100_000


def make_inputs(schema: Schema) -> dict[str, keras.KerasTensor]:
    """A named Keras input per feature."""
    return {f.name: keras.Input(shape=f.shape, dtype=f.dtype, name=f.name) for f in schema.features}


def embed_features(
    schema: Schema,
    inputs: Mapping[str, Any],
    embedding_dim: int,
    embeddings_regularizer: Any = None,
    embedding_optimizer: Any = None,
    sequence_encoders: Mapping[str, SequenceEncoder] | None = None,
    semantic_ids: Mapping[str, SemanticIdEmbedding] | None = None,
) -> dict[str, Any]:
    """Every feature as a field of shape `(batch, embedding_dim)`, in the schema's order.

    Args:
        schema: the table.
        inputs: symbolic columns by feature name.
        embedding_dim: width of a field.
        embeddings_regularizer: of the embedding table.
        embedding_optimizer: see `CTRModel`.
        sequence_encoders: encoders of the sequences that are not simply averaged, by feature name.
        semantic_ids: embeddings by semantic id; each is one more field, `"FEATURE:semantic_ids"`.
    """
    encoders = dict(sequence_encoders or {})
    fields: dict[str, Any] = {}
    ids = [f for f in schema.features if isinstance(f, Categorical | Sequence)]
    if ids:
        embedding = _make_collection(ids, embedding_dim, embeddings_regularizer, embedding_optimizer, encoders)
        columns = {f.name: inputs[f.name] for f in ids}
        fields.update(embedding(columns))
        masks = embedding.sequence_masks(columns)
        for name, encoder in encoders.items():
            fields[name] = encoder(fields[name], target=_target(schema, name, fields), mask=masks[name])
    numbers = [f.name for f in schema.features if isinstance(f, Numeric)]
    if numbers:
        columns = ops.stack([inputs[name] for name in numbers], axis=-1)
        vectors = NumericEmbedding(embedding_dim, name="numeric_embedding")(columns)
        fields.update({name: vectors[:, index] for index, name in enumerate(numbers)})
    for feature in schema.features:
        if isinstance(feature, Vector):
            fields[feature.name] = keras.layers.Dense(embedding_dim, name=f"{feature.name}_projection")(
                inputs[feature.name]
            )
    by_meaning = {f"{name}:semantic_ids": layer(inputs[name]) for name, layer in (semantic_ids or {}).items()}
    return {**{name: fields[name] for name in schema.feature_names}, **by_meaning}


def _target(schema: Schema, sequence: str, fields: Mapping[str, Any]) -> Any:
    """The field of what is ranked that a history is made of, if it shares one's rows."""
    owner = next((f.shares for f in schema.features if isinstance(f, Sequence) and f.name == sequence), None)
    # One that shares another sequence's rows has no single target.
    return fields[owner] if owner is not None and isinstance(schema[owner], Categorical) else None


def _make_collection(
    ids: list[Any], embedding_dim: int, regularizer: Any, optimizer: Any, encoders: Mapping[str, Any]
) -> EmbeddingCollection:
    """The one table: trained by the optimizer of `compile`, or fused with its own."""
    sizes = {f.name: f.vocabulary_size for f in ids}
    arguments = {
        "sequences": [f.name for f in ids if isinstance(f, Sequence)],
        "shares": {f.name: f.shares for f in ids if isinstance(f, Sequence) and f.shares},
        "embeddings_regularizer": regularizer,
        "unpooled": list(encoders),
        "name": "embedding",
    }
    if isinstance(optimizer, str) and optimizer == "auto":
        rows = sum(size for name, size in sizes.items() if name not in arguments["shares"])
        optimizer = "adam" if rows >= FUSED_FROM_ROWS and regularizer is None else None
    if optimizer is None:
        return EmbeddingCollection(sizes, embedding_dim, **arguments)
    return FusedEmbeddingCollection(sizes, embedding_dim, optimizer, **arguments)
