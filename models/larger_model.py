"""A model with more rows for ids, and all else as it was."""

import dataclasses
from collections.abc import Container, Iterable, Mapping
from typing import Any

import keras

from ..layers import FusedEmbedding
from ..layers.embedding.move_rows import Span, move_rows
from ..schema import Schema
from .residual_learning import ResidualLearning
from .row_slots import row_slots


def larger_model(model: Any, schema: Schema, sizes: Mapping[str, int], teacher: Any = None) -> Any:
    """A new model with room for all ids of a schema, whose old rows, and all else, are those of a model.

    Args:
        model: a `TableModel`, which stays as it is.
        schema: its schema, with larger vocabularies.
        sizes: number of ids by table.
        teacher: the new model's teacher, if the model has one that is a model. Defaults to `None`.

    Example:

    See `grow`.
    """
    config = {**model.get_config(), "schema": schema.to_dict()}
    compiled = model.get_compile_config()
    tables = [
        dataclasses.replace(table, rows=max(table.rows, sizes[table.name])) if table.rows else table
        for table in model.tables
    ]
    config["tables"] = [table.get_config() for table in tables]
    if config["embedding_optimizer"] == "auto" and any(stack.variable is not None for stack in model.table_stacks):
        # With more rows `"auto"` might choose fused tables, which could not take the optimizer's slots over.
        config["embedding_optimizer"] = None
    learning = getattr(model, "residual_learning", None)
    if learning is not None and teacher is not None:
        config["residual_learning"] = ResidualLearning(**{**learning.get_config(), "teacher": teacher})
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(model.dtype_policy)
    try:
        grown = type(model).from_config(config)
    finally:
        keras.config.set_dtype_policy(policy)
    for before, after in zip(model._flatten_layers(), grown._flatten_layers(), strict=True):
        if after.trainable != before.trainable:
            after.trainable = before.trainable
    if compiled:
        grown.compile_from_config(compiled)
    _copy_state(model, grown)
    return grown


def _copy_state(model: Any, grown: Any) -> None:
    """Give a larger model all variables of a model."""
    places: dict[int, list[tuple[Span, Span]]] = {}
    stacks = list(zip(model.table_stacks, grown.table_stacks, strict=True))
    for before, after in stacks:
        places[id(before.layer or before.variable)] = after.places(before)
    for feature, layer in model.counted_ids.items():
        rows, more = layer.vocabulary_size, grown.counted_ids[feature].vocabulary_size
        places[id(layer.counts)] = [((0, rows), (0, more))]
    fused = set()
    for before, after in zip(model._flatten_layers(), grown._flatten_layers(), strict=True):
        if isinstance(before, FusedEmbedding) and before is not after:
            after.take_over(before, places.get(id(before), ()))
            fused |= {id(variable) for layer in (before, after) for variable in layer.variables}
    _move_all(model.variables, grown.variables, places, fused)
    if not grown.compiled:
        return
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    stock = [(before.variable, after.places(before)) for before, after in stacks if before.variable is not None]
    slots = row_slots(model.optimizer, model.trainable_variables, [table for table, _ in stock])
    for (_, of_table), found in zip(stock, slots, strict=True):
        places.update({id(slot.variable): of_table for slot in found})
    _move_all(model.optimizer.variables, grown.optimizer.variables, places)


def _move_all(
    variables: Iterable[Any],
    others: Iterable[Any],
    places: Mapping[int, list[tuple[Span, Span]]],
    without: Container[int] = (),
) -> None:
    """Copy variables to others in the same order, but for some, and for those that are the same."""
    pairs = ([v for v in given if id(v) not in without] for given in (variables, others))
    for before, after in zip(*pairs, strict=True):
        if before is not after:
            move_rows(before, after, places.get(id(before), ()))
