"""The layers that a model puts on some of its features, from names or instances."""

from collections.abc import Mapping
from typing import Any

from ..layers import SemanticIdEmbedding, SemanticIds, SequenceEncoder, TargetAttention
from ..layers.sequence import get as get_encoder
from ..schema import Categorical, Schema, Sequence, Weights
from .feature_embedder import target_of


def make_sequence_encoders(
    identifier: str | Mapping[str, str | SequenceEncoder], schema: Schema
) -> dict[str, SequenceEncoder]:
    """An encoder for each sequence that the embedding table does not simply average.

    Args:
        identifier: name of an encoder for all sequences, or a dict of names or encoders by sequence;
            sequences left out are averaged.
        schema: the table.

    Raises:
        ValueError: on an unknown name or sequence, or target attention on a sequence without a target.
    """
    sequences = _unweighted(schema)
    if isinstance(identifier, str):
        identifier = dict.fromkeys(sequences, identifier) if sequences else _known(identifier)
    if not isinstance(identifier, Mapping):
        raise ValueError(
            "`sequence_encoder` must be the name of an encoder or a dict by sequence, since one layer cannot serve "
            f"several histories. Received: sequence_encoder={identifier!r}."
        )
    unknown = sorted(set(identifier) - set(sequences))
    if unknown:
        raise ValueError(f"`sequence_encoder` names {unknown}, which are no sequences. Sequences: {sequences}.")
    encoders: dict[str, SequenceEncoder] = {}
    for name, given in identifier.items():
        if given == "mean":
            continue
        encoder = get_encoder(given, name=f"{name}_encoder") if isinstance(given, str) else get_encoder(given)
        if isinstance(encoder, TargetAttention):
            _check_target(name, schema)
        encoders[name] = encoder
    return encoders


def histories_of(schema: Schema) -> list[str]:
    """The sequences whose positions a backbone may read: those of the request, which are the same for all its ads.

    Sequences with weights are left out.

    Args:
        schema: the table.
    """
    of_request = schema.field_names("user", "context")
    return [name for name in _unweighted(schema) if name in of_request]


def _unweighted(schema: Schema) -> list[str]:
    """The sequences with a field of their own and no weights, which would say themselves what counts of a sequence."""
    weighted = {f.of for f in schema.features if isinstance(f, Weights)}
    return [f.name for f in schema.features if isinstance(f, Sequence) and f.field == f.name not in weighted]


def _known(identifier: str) -> dict[str, Any]:
    get_encoder(identifier)
    return {}


def _check_target(name: str, schema: Schema) -> None:
    if target_of(schema, name) is None:
        feature = schema[name]
        shares = feature.shares if isinstance(feature, Sequence) else None
        candidates = [f.name for f in schema.on_side("ad") if isinstance(f, Categorical)]
        raise ValueError(
            f"Target attention weighs the history {name!r} for an ad, so it must share the table of the ad's id: "
            f"Sequence({name!r}, ..., shares=...). Received: shares={shares!r}. Categorical ad features: {candidates}."
        )


def make_semantic_ids(
    given: Mapping[str, SemanticIds | SemanticIdEmbedding] | None, schema: Schema, embedding_dim: int
) -> dict[str, SemanticIdEmbedding]:
    """The embedding by semantic id of each feature that has one.

    Args:
        given: `SemanticIds` or a `SemanticIdEmbedding` by feature name, or `None`.
        schema: the table.
        embedding_dim: width of the embeddings made here.

    Raises:
        ValueError: on a name of no categorical feature, or codes for fewer items than its vocabulary has.
    """
    layers: dict[str, SemanticIdEmbedding] = {}
    names = [f.name for f in schema.features if isinstance(f, Categorical)]
    for name, codes in (given or {}).items():
        if name not in names:
            raise ValueError(
                f"`semantic_ids` names {name!r}, which is no categorical feature. Categorical features: {names}."
            )
        if not isinstance(codes, SemanticIds | SemanticIdEmbedding):
            raise ValueError(
                f"`semantic_ids` of {name!r} must be a SemanticIds or a SemanticIdEmbedding. Received: {codes!r}."
            )
        layer = (
            SemanticIdEmbedding(codes, embedding_dim, name=f"{name}_semantic_ids")
            if isinstance(codes, SemanticIds)
            else codes
        )
        feature = schema[name]
        if isinstance(feature, Categorical) and layer.num_items != feature.vocabulary_size:
            raise ValueError(
                f"`semantic_ids` of {name!r} has codes for {layer.num_items} ids, but its vocabulary has "
                f"{feature.vocabulary_size}. Fit them to one vector per id, id 0 (out-of-vocabulary) included."
            )
        layers[name] = layer
    return layers
