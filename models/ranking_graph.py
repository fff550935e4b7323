"""What lies between a ranking model's embedded fields and its outputs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..layers import (
    MLP,
    FixedWeighting,
    GroupConcat,
    JointLogit,
    LogitCalibration,
    MultiTask,
    SharedBottom,
    TaskWeighting,
)
from ..schema import Schema
from .backbones import Backbone
from .group_placements import side_fields
from .layer_calls import LayerCalls
from .residual_learning import ResidualLearning
from .structures import check_parts


class RankingNetwork:
    """The layers from embedded fields to logits, and the order in which they are called.

    The one description of it: `make_ranking_graph` runs it on symbolic tensors to build a model, `CandidateRanker` on
    the columns of requests.

    Args:
        schema: the table.
        group_concats: a layer for each placement of groups.
        backbone: the feature interactions.
        structure: layer from one representation to one for each task.
        weighting: what balances the tasks; it may act on the gradients of their representations.
        joints: by joint outcome, a layer and the names of the two logits that it reads, in the order of calls.
        calibrations: by task, what corrects its logits outside of training.
    """

    def __init__(
        self,
        schema: Schema,
        group_concats: Mapping[str, GroupConcat],
        backbone: Backbone,
        structure: MultiTask,
        weighting: TaskWeighting,
        joints: Mapping[str, tuple[JointLogit, str, str]],
        calibrations: Mapping[str, LogitCalibration],
    ) -> None:
        self.schema, self.group_concats, self.backbone = schema, group_concats, backbone
        self.structure, self.weighting, self.joints = structure, weighting, joints
        if isinstance(weighting, FixedWeighting):
            # The graph does without it. Before each `fit` and `predict`, Keras runs a model once more whose layers are
            # not all built.
            weighting.build(dict.fromkeys(schema.task_names, (None, None)))
        self.calibrations = calibrations
        self.towers: dict[str, MLP] = {}
        # Float32 under every dtype policy: cross entropy needs the range, serving the precision.
        self._ends = {task: keras.layers.Activation("linear", dtype="float32", name=task) for task in schema.task_names}

    def groups(self, fields: Mapping[str, Any], calls: LayerCalls) -> tuple[dict[str, Any], dict[str, Any]]:
        """Codes of the groups that the backbone reads, as further fields, and what they are learned of by placement."""
        groups, learned_of = dict[str, Any](), dict[str, Any]()
        for placement in (p for p in ("user", "user_ad") if p in self.group_concats):
            x = learned_of[placement] = side_fields(self.schema, placement, fields, calls)
            groups[f"{placement}:groups"] = calls.layer(self.group_concats[placement], x, concatenate=False)
        return groups, learned_of

    def representations(self, fields: Any, calls: LayerCalls) -> tuple[Any, dict[str, Any]]:
        """What the backbone makes of all fields, groups included, and what each task's tower reads.

        Args:
            fields: the fields by name, or what `calls` has made of them for the backbone.
            calls: how the layers are called.
        """
        backbone_output = representation = calls.layer(self.backbone, fields)
        if "representation" in self.group_concats:
            representation = calls.layer(self.group_concats["representation"], representation)
        by_task = calls.layer(self.structure, representation)
        if isinstance(self.structure, SharedBottom):
            # One tensor under every name: what reads it can then be one product.
            by_task = dict.fromkeys(self.schema.task_names, by_task[self.schema.task_names[0]])
        if not isinstance(self.weighting, FixedWeighting):
            by_task = calls.layer(self.weighting, by_task)
        return backbone_output, by_task

    def logits(self, outputs: Mapping[str, Any], calls: LayerCalls) -> dict[str, Any]:
        """Logits `(rows, 1)` of the tasks and of the joint outcomes, from what the towers give."""
        logits = {task: calls.layer(end, outputs[task]) for task, end in self._ends.items()}
        for task, calibration in self.calibrations.items():
            logits[task] = calls.layer(calibration, logits[task])
        for outcome, (layer, parent, child) in self.joints.items():
            logits[outcome] = calls.layer(layer, logits[parent], logits[child])
        return logits


@dataclasses.dataclass(frozen=True)
class RankingGraph:
    """The functional graph of a network: symbolic tensors.

    Args:
        logits: `(batch, 1)` logits by task and joint outcome.
        representations: what each task's tower reads.
        heads: logits that only training needs, by name.
        placement_inputs: what each placement's groups are learned of.
        biases: by output, the weight that holds its biases, and the position of the first one.
    """

    logits: dict[str, Any]
    representations: dict[str, Any]
    heads: dict[str, Any]
    placement_inputs: dict[str, Any]
    biases: dict[str, tuple[Any, int]]


def make_ranking_graph(
    network: RankingNetwork,
    fields: Mapping[str, Any],
    learning: ResidualLearning | None,
    tower_units: Sequence[int],
    dropout: float,
    output_initializer: Any = "glorot_uniform",
) -> RankingGraph:
    """Connect a network's layers, a tower for each task and the heads of residual learning above embedded fields.

    Args:
        network: the layers; it gets its towers here.
        fields: symbolic embedded fields by name.
        learning: residual learning, or `None`.
        tower_units: widths of each task's tower.
        dropout: dropout rate of the towers.
        output_initializer: initializer of the kernels that give the tasks' logits. Defaults to `"glorot_uniform"`.
    """
    calls = LayerCalls()
    groups, placement_inputs = network.groups(fields, calls)
    check_parts(network.structure, network.backbone, {**fields, **groups})
    representation, by_task = network.representations({**fields, **groups}, calls)
    if "representation" in network.group_concats:
        placement_inputs["representation"] = representation
    # Only now, since the weights of a seed depend on the order in which layers are made and built.
    network.towers = {
        task: MLP(
            tower_units,
            dropout=dropout,
            output_units=1,
            output_initializer=output_initializer,
            name=f"{task}_tower",
        )
        for task in network.schema.task_names
    }
    logits = network.logits({task: tower(by_task[task]) for task, tower in network.towers.items()}, calls)
    biases: dict[str, tuple[Any, int]] = {task: (tower.last_bias, 0) for task, tower in network.towers.items()}
    heads: dict[str, Any] = {}
    if learning is not None:
        heads, biases_of_heads = learning.make_heads(by_task)
        biases.update(biases_of_heads)
    return RankingGraph(logits, by_task, heads, placement_inputs, biases)
