"""What a model does with its several tasks, by name."""

from collections.abc import Mapping
from typing import Any

import keras

from ..layers import MultiTask, TaskWeighting
from ..layers.multi_task import MULTI_TASK
from ..layers.task_weighting import TASK_WEIGHTING
from ..schema import Schema
from .backbones import Backbone, Concatenation


def make_structure(identifier: str | MultiTask | dict[str, Any], schema: Schema, dropout: float) -> MultiTask:
    """The layer from one representation to one for each task.

    Args:
        identifier: a name, a `MultiTask` with the schema's `task_names`, or a Keras config of one.
        schema: the table.
        dropout: dropout rate of a structure given by name.

    Raises:
        ValueError: on an unknown name, a layer for other tasks, or an `ordered_weight` for tasks with a parent.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in MULTI_TASK:
        arguments: dict[str, Any] = {"dropout": dropout, "name": "multi_task"}
        parents = {task.name: task.given for task in schema.tasks if task.given is not None}
        if identifier == "aitm" and parents:
            arguments["parents"] = parents
        return MULTI_TASK[identifier](schema.task_names, **arguments)
    if not isinstance(identifier, MultiTask):
        raise ValueError(
            f"`multi_task` must be one of {sorted(MULTI_TASK)} or an instance of a `grouprank.models.MultiTask` "
            f"subclass. Received: multi_task={identifier!r}."
        )
    _check_tasks("multi_task", identifier, schema)
    conditional = [
        task.name for task in schema.tasks if task.given is not None and task.name in identifier.ordered_pairs
    ]
    if identifier.ordered_weight and conditional:
        raise ValueError(
            f"`ordered_weight` is for tasks whose labels count among all rows. {conditional} count among the positives "
            "of their parent task alone, and may be more probable there than it is. Leave `given` out of these tasks, "
            "or `ordered_weight` out of the structure."
        )
    return identifier


def field_width(identifier: str | MultiTask | dict[str, Any], schema: Schema, embedding_dim: int) -> int:
    """How wide a model's fields are: `embedding_dim`, times the parts into which the structure splits them.

    Args:
        identifier: as for `make_structure`.
        schema: the table.
        embedding_dim: width of a part.
    """
    # A structure may not be made for this yet: weights of a seed depend on the order in which layers are made.
    if isinstance(identifier, str):
        kind: Any = MULTI_TASK.get(identifier)
    elif isinstance(identifier, dict):
        kind = type(keras.saving.deserialize_keras_object(identifier))
    else:
        kind = type(identifier)
    parts = kind.embedding_parts(len(schema.tasks)) if isinstance(kind, type) and issubclass(kind, MultiTask) else 1
    return embedding_dim * parts


def check_parts(structure: MultiTask, backbone: Backbone, fields: Mapping[str, Any]) -> None:
    """Raise if a structure splits the embeddings into parts, and something else has mixed them.

    Args:
        structure: the layer above the backbone.
        backbone: the feature interactions.
        fields: all fields that the backbone reads, `(batch, width)` by name.

    Raises:
        ValueError: on such a structure above another backbone than `Concatenation`, or fields that cannot be split.
    """
    parts = structure.embedding_parts(len(structure.task_names))
    if parts == 1:
        return
    if not isinstance(backbone, Concatenation):
        raise ValueError(
            f"{type(structure).__name__} gives each task a part of every field, so the backbone must leave the fields "
            f"as they are: pass backbone='concatenation'. Received: a backbone of the class {type(backbone).__name__}."
        )
    odd = {name: field.shape[-1] for name, field in fields.items() if field.shape[-1] % parts}
    if odd:
        raise ValueError(
            f"{type(structure).__name__} splits every field into {parts} parts of one width, so each must be a "
            f"multiple of {parts} wide, also those of `tables`, `semantic_ids` and the `code_dim` of groups. "
            f"Received: fields of the widths {odd}."
        )


def make_task_weighting(
    identifier: str | TaskWeighting | dict[str, Any], schema: Schema, task_weights: Mapping[str, float] | None
) -> TaskWeighting:
    """The layer that combines the tasks' losses.

    Args:
        identifier: a name, a `TaskWeighting` for the schema's tasks, or a Keras config of one.
        schema: the table.
        task_weights: fixed factors of the tasks' losses; a given layer has its own.

    Raises:
        ValueError: on an unknown name, a layer for other tasks, or other weights than the layer's.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in TASK_WEIGHTING:
        return TASK_WEIGHTING[identifier](schema.task_names, task_weights=task_weights, name="task_weighting")
    if not isinstance(identifier, TaskWeighting):
        raise ValueError(
            f"`task_weighting` must be one of {sorted(TASK_WEIGHTING)} or a TaskWeighting of grouprank.layers. "
            f"Received: task_weighting={identifier!r}."
        )
    _check_tasks("task_weighting", identifier, schema)
    if task_weights and dict(task_weights) != identifier.task_weights:
        raise ValueError(
            f"Give `task_weights` to the TaskWeighting itself. Received: task_weights={dict(task_weights)} and a "
            f"layer with {identifier.task_weights}."
        )
    return identifier


def _check_tasks(argument: str, layer: Any, schema: Schema) -> None:
    if sorted(layer.task_names) != sorted(schema.task_names):
        raise ValueError(
            f"`{argument}` was made for the tasks {list(layer.task_names)}, but the schema has {schema.task_names}. "
            "Give the layer the schema's `task_names`."
        )
