"""What a model does with its several tasks, by name."""

from collections.abc import Mapping
from typing import Any

import keras

from ..layers import MultiTask, TaskWeighting
from ..layers.multi_task import MULTI_TASK
from ..layers.task_weighting import TASK_WEIGHTING
from ..schema import Schema


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
