"""From a schema to model inputs and embedded fields."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ..layers import EmbeddingCollection, NumericEmbedding
from ..schema import Categorical, Numeric, Schema, Sequence, Vector


def make_inputs(schema: Schema) -> dict[str, keras.KerasTensor]:
    """A named Keras input per feature."""
    return {f.name: keras.Input(shape=f.shape, dtype=f.dtype, name=f.name) for f in schema.features}


def embed_features(
    schema: Schema, inputs: Mapping[str, Any], embedding_dim: int, embeddings_regularizer: Any = None
) -> dict[str, Any]:
    """Every feature as a field of shape `(batch, embedding_dim)`, in the schema's order."""
    fields: dict[str, Any] = {}
    ids = [f for f in schema.features if isinstance(f, Categorical | Sequence)]
    if ids:
        embedding = EmbeddingCollection(
            {f.name: f.vocabulary_size for f in ids},
            embedding_dim,
            sequences=[f.name for f in ids if isinstance(f, Sequence)],
            shares={f.name: f.shares for f in ids if isinstance(f, Sequence) and f.shares},
            embeddings_regularizer=embeddings_regularizer,
            name="embedding",
        )
        fields.update(embedding({f.name: inputs[f.name] for f in ids}))
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
    return {name: fields[name] for name in schema.feature_names}
