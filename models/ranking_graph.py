"""The functional graph of ranking models: columns in, logits and training heads out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..layers import MLP, FixedWeighting, GroupConcat, MultiTask, SharedBottom, TaskWeighting
from ..schema import Schema
from .backbones import Backbone
from .group_placements import side_fields
from .residual_learning import ResidualLearning


@dataclasses.dataclass(frozen=True)
class RankingGraph:
    """What lies between a model's embedded fields and its outputs.

    Args:
        logits: symbolic `(batch, 1)` logits by task.
        heads: symbolic logits that only training needs, by name.
        placement_inputs: what each placement's groups are learned of.
        biases: by output, the weight that holds its biases, and the position of the first one.
    """

    logits: dict[str, Any]
    heads: dict[str, Any]
    placement_inputs: dict[str, Any]
    biases: dict[str, tuple[Any, int]]


def make_ranking_graph(
    schema: Schema,
    fields: Mapping[str, Any],
    group_concats: Mapping[str, GroupConcat],
    backbone: Backbone,
    structure: MultiTask,
    weighting: TaskWeighting,
    learning: ResidualLearning | None,
    tower_units: Sequence[int],
    dropout: float,
    output_initializer: Any = "glorot_uniform",
) -> RankingGraph:
    """Connect groups, backbone, multi-task structure, towers and heads above embedded fields.

    Args:
        schema: the table.
        fields: embedded fields by name.
        group_concats: a layer for each placement of groups.
        backbone: the feature interactions.
        structure: layer from one representation to one for each task.
        weighting: what balances the tasks; it may act on the gradients of their representations.
        learning: residual learning, or `None`.
        tower_units: widths of each task's tower.
        dropout: dropout rate of the towers.
        output_initializer: initializer of the kernels that give the tasks' logits. Defaults to `"glorot_uniform"`.
    """
    placement_inputs: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for placement in ("user", "user_ad"):
        if placement in group_concats:
            x = placement_inputs[placement] = side_fields(schema, placement, fields)
            groups[f"{placement}:groups"] = group_concats[placement](x, concatenate=False)
    representation = backbone({**fields, **groups})
    if "representation" in group_concats:
        placement_inputs["representation"] = representation
        representation = group_concats["representation"](representation)
    by_task = structure(representation)
    if isinstance(structure, SharedBottom):
        # One tensor under every name: what reads it can then be one product.
        by_task = dict.fromkeys(schema.task_names, by_task[schema.task_names[0]])
    if not isinstance(weighting, FixedWeighting):
        by_task = weighting(by_task)
    logits, biases = {}, {}
    for task in schema.task_names:
        tower = MLP(
            tower_units,
            dropout=dropout,
            output_units=1,
            output_initializer=output_initializer,
            name=f"{task}_tower",
        )
        logit = tower(by_task[task])
        biases[task] = (tower.last_bias, 0)
        # Float32 under every dtype policy: cross entropy needs the range, serving the precision.
        logits[task] = keras.layers.Activation("linear", dtype="float32", name=task)(logit)
    heads: dict[str, Any] = {}
    if learning is not None:
        heads, biases_of_heads = learning.make_heads(by_task)
        biases.update(biases_of_heads)
    return RankingGraph(logits, heads, placement_inputs, biases)
