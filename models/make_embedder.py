"""From a schema to a model's inputs and the layers that embed them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras

from ..layers import (
    EmbeddingCollection,
    FusedEmbeddingCollection,
    MeanPooling,
    NumericEmbedding,
    SemanticIdEmbedding,
    SequenceEncoder,
    TableConfig,
    WeightedPooling,
)
from ..layers.embedding.optimizers import RowOptimizer
from ..schema import Categorical, Numeric, Schema, Sequence, Vector, Weights
from .feature_embedder import FeatureEmbedder

# From here on `docs/benchmarks/embedding_scaling.md` finds the fused table no slower on any backend of a CPU; at a
# million rows it is clearly faster. On a GPU torch is slower with it (`docs/benchmarks/h200`).
FUSED_FROM_ROWS = 100_000


def make_inputs(schema: Schema) -> dict[str, keras.KerasTensor]:
    """A named Keras input per feature."""
    return {f.name: keras.Input(shape=f.shape, dtype=f.dtype, name=f.name) for f in schema.features}


def make_embedder(
    schema: Schema,
    embedding_dim: int,
    embeddings_regularizer: keras.regularizers.Regularizer | None = None,
    embedding_optimizer: str | RowOptimizer | None = None,
    sequence_encoders: Mapping[str, SequenceEncoder] | None = None,
    semantic_ids: Mapping[str, SemanticIdEmbedding] | None = None,
    storage_dtype: str = "float32",
    tables: Iterable[TableConfig] = (),
    placement: str = "device",
    with_steps: Collection[str] = (),
) -> FeatureEmbedder:
    """The layers that make every feature a field of shape `(batch, width)`, which is `embedding_dim` or its table's.

    Args:
        schema: the table.
        embedding_dim: width of a field.
        embeddings_regularizer: of the embedding table.
        embedding_optimizer: see `CTRModel`.
        sequence_encoders: encoders of the sequences that are not simply averaged, by feature name.
        semantic_ids: embeddings by semantic id; each is one more field, `"FEATURE:semantic_ids"`.
        storage_dtype: how a fused table keeps its rows.
        tables: configs of the tables that differ.
        placement: where a fused table lies.
        with_steps: see `FeatureEmbedder`.
    """
    encoders = dict(sequence_encoders or {})
    poolings = {
        f.of: WeightedPooling(f.combiner, name=f"{f.of}_pooling") for f in schema.features if isinstance(f, Weights)
    }
    beside = {f.name: f.beside for f in schema.features if isinstance(f, Sequence) and f.beside}
    # The table averages a sequence quicker, but only where nothing else reads its positions or is added to them.
    for name in {**dict.fromkeys(with_steps), **dict.fromkeys(beside.values())}:
        if name not in poolings:
            encoders.setdefault(name, MeanPooling(name=f"{name}_encoder"))
    ids = [f for f in schema.features if isinstance(f, Categorical | Sequence)]
    numbers = [f for f in schema.features if isinstance(f, Numeric)]
    collection = numeric = None
    if ids:
        collection = _make_collection(
            schema,
            ids,
            embedding_dim,
            embeddings_regularizer,
            embedding_optimizer,
            [*encoders, *poolings, *beside],
            storage_dtype,
            tables,
            placement,
        )
        widths = collection.compute_output_shape({f.name: (None, *f.shape) for f in ids})
        for name, main in beside.items():
            if widths[name][-1] != widths[main][-1]:
                raise ValueError(
                    f"The sequence {name!r} lies beside {main!r}, so their vectors are added up and must be equally "
                    f"wide. Received: widths of {widths[name][-1]} against {widths[main][-1]}. Change `tables`."
                )
    if numbers:
        numeric = NumericEmbedding(embedding_dim, name="numeric_embedding")
        # Before the projections: weights of a seed depend on the order in which layers draw them.
        numeric.build((None, len(numbers)))
    return FeatureEmbedder(
        schema,
        collection,
        numeric,
        {
            f.name: keras.layers.Dense(embedding_dim, name=f"{f.name}_projection")
            for f in schema.features
            if isinstance(f, Vector)
        },
        encoders,
        dict(semantic_ids or {}),
        poolings,
        with_steps,
    )


def _make_collection(
    schema: Schema,
    ids: list[Categorical | Sequence],
    embedding_dim: int,
    regularizer: keras.regularizers.Regularizer | None,
    optimizer: str | RowOptimizer | None,
    unpooled: list[str],
    storage_dtype: str,
    tables: Iterable[TableConfig],
    placement: str,
) -> EmbeddingCollection:
    """The tables: trained by the optimizer of `compile`, or fused with their own."""
    sizes = {f.name: f.vocabulary_size for f in ids}
    configs = {table.name: table for table in tables}
    arguments: dict[str, Any] = {
        "sequences": [f.name for f in ids if isinstance(f, Sequence)],
        "shares": {f.name: f.shares for f in ids if isinstance(f, Sequence) and f.shares},
        "embeddings_regularizer": regularizer,
        "unpooled": unpooled,
        "tables": tables,
        "feature_tables": {f.name: f.table for f in ids if f.table},
        "name": "embedding",
    }
    if isinstance(optimizer, str) and optimizer == "auto":
        rows = {schema.table_of(name): size for name, size in sizes.items()}
        rows.update({name: table.rows for name, table in configs.items() if table.rows and name in rows})
        # A table with an optimizer of its own is fused whatever the others are.
        own = {name for name, table in configs.items() if table.optimizer is not None}
        large = sum(size for name, size in rows.items() if name not in own) >= FUSED_FROM_ROWS
        optimizer = "adam" if large and regularizer is None else None
        if optimizer is None:
            # A table that is too small to be a fused one lies on every device.
            placement = "device"
    if optimizer is not None:
        return FusedEmbeddingCollection(
            sizes, embedding_dim, optimizer, storage_dtype=storage_dtype, placement=placement, **arguments
        )
    if storage_dtype != "float32":
        raise ValueError(
            "Only a fused table keeps its rows in half precision. Pass an `embedding_optimizer`, such as 'adam'. "
            f"Received: embedding_storage_dtype={storage_dtype!r} without one."
        )
    if placement != "device":
        raise ValueError(
            "Only a fused table is dealt over devices by rows. Pass an `embedding_optimizer`, such as 'adam'. "
            f"Received: table_placement={placement!r} without one."
        )
    return EmbeddingCollection(sizes, embedding_dim, **arguments)
