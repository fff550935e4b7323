"""Multi-task conversion models over the entire space of impressions."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..layers import JointLogit, MultiTask
from ..schema import Schema
from . import counterfactuals
from .backbones import Backbone
from .counterfactuals import Counterfactual
from .ctr_model import CTRModel
from .ranking_graph import RankingGraph
from .sample_spaces import joint_label


@keras.saving.register_keras_serializable(package="grouprank")
class CVRModel(CTRModel):
    """Predicts rates among clicks and, over all impressions, the rates of the joint outcomes.

    A `CTRModel` for tasks with a parent, `Task("purchase", given="click")`. Each of
    them gets a second prediction: `purchase` is the rate among clicks (CVR), and
    `click_and_purchase` the rate among impressions (CTCVR), the product of the
    rates along the path. The product is trained on all impressions, so that the
    CVR tower is not fitted to clicks alone and asked about every ad; it is
    computed from logits, so that rates of 1e-7 keep their gradient.

    Calibration and `negative_rate` correct the tasks' logits. A joint outcome is the product of corrected rates.

    A conversion's label counts where all that it is given came true. For an
    impression without a click the joint outcome is 0, whatever the conversion
    column says.

    `counterfactual` adds a regularizer to each conversion, which debiases the rate among clicks: `"ips"` and `"dr"`
    make ESCM² of the model, `"dcmt"` makes DCMT of it. A regularizer steers training only, and `fit` shows it as
    `TASK_counterfactual_loss`. `loss`, predictions and exports do not have it.

    Args:
        schema: the table's features and tasks, at least one of them with `given`.
        backbone: see `CTRModel`. Defaults to `"dcn_v2"`.
        multi_task: see `CTRModel`. Defaults to `"shared_bottom"`.
        *args: further arguments of `CTRModel`, in its order.
        conditional_weight: factor of a conversion's cross entropy among clicks, which
            is added to that of the joint outcome. ESMM has no such term. Defaults to `0.0`.
        counterfactual: `"ips"`, `"dr"`, `"dcmt"`, a regularizer of `grouprank.models.counterfactuals` with arguments of
            your own, such as `DoublyRobust(weight=0.5)`, or `None`. Defaults to `None`.
        **kwargs: further arguments of `CTRModel`.

    Call arguments:
        inputs: dict of columns by feature name.
        training: whether to run in training mode.

    Input shape:
        A dict of `(batch,)`; `(batch, length)` for sequences, `(batch, dim)` for vectors.

    Output shape:
        A dict of `(batch, 1)` logits by task, and by joint outcome.

    Raises:
        ValueError: as `CTRModel`; if no task has a parent, if the name of a joint
            outcome is taken, on a negative `conditional_weight`, or an unknown `counterfactual`.

    Example:

    >>> import numpy as np
    >>> from grouprank import Categorical, Task
    >>> schema = Schema(
    ...     [Categorical("user_id", 50, side="user"), Categorical("ad_id", 20)],
    ...     [Task("click"), Task("purchase", given="click")],
    ... )
    >>> model = CVRModel(schema, backbone="mlp", embedding_dim=4)
    >>> model.compile()
    >>> rng = np.random.default_rng(0)
    >>> x = {"user_id": rng.integers(0, 50, 256), "ad_id": rng.integers(0, 20, 256)}
    >>> click = rng.integers(0, 2, 256)
    >>> history = model.fit(x, {"click": click, "purchase": click * rng.integers(0, 2, 256)}, verbose=0)
    >>> sorted(model.predict_proba(x))
    ['click', 'click_and_purchase', 'purchase']

    Reference:
        Ma et al., *Entire Space Multi-Task Model*, [arXiv:1804.07931](https://arxiv.org/abs/1804.07931);
        Wang et al., *ESCM²*, [arXiv:2204.05125](https://arxiv.org/abs/2204.05125);
        Zhu et al., *DCMT*, [arXiv:2301.06881](https://arxiv.org/abs/2301.06881);
        groups and residual learning as in *Learning Disentangled Representations for Ads Ranking*.
    """

    def __init__(
        self,
        schema: Schema,
        backbone: str | Backbone = "dcn_v2",
        multi_task: str | MultiTask = "shared_bottom",
        *args: Any,
        conditional_weight: float = 0.0,
        counterfactual: str | Counterfactual | None = None,
        **kwargs: Any,
    ) -> None:
        if conditional_weight < 0:
            raise ValueError(
                f"`conditional_weight` must not be negative. Received: conditional_weight={conditional_weight}."
            )
        # Set before the graph is made, which has the heads of the regularizer.
        self.counterfactual = counterfactuals.get(counterfactual)
        super().__init__(schema, backbone, multi_task, *args, **kwargs)
        self.conditional_weight = conditional_weight
        conditional = [task for task in self.negative_rate if schema.joint_name(task) != task]
        if conditional:
            raise ValueError(
                f"`negative_rate` of {conditional}: the joint outcomes of a CVRModel are learned of all impressions, "
                "and no one rate corrects their logits where the negatives of a task with a parent are sampled too. "
                f"Received: negative_rate={self.negative_rate}. Sample the tasks without a parent alone, or let the "
                'loader correct the loss: `recalibrate="loss"`.'
            )

        late = [task for task in self.delayed_feedback.losses if schema.joint_name(task) != task]
        if late and (conditional_weight or self.counterfactual is not None):
            raise ValueError(
                f"`conditional_weight` and `counterfactual` take the labels of {late} for final, but their conversions "
                "come late. Leave `delayed_feedback` of these tasks out, or both others. Received: "
                f"conditional_weight={conditional_weight}, counterfactual={counterfactual!r}."
            )

    @staticmethod
    def _joint_layers(schema: Schema) -> dict[str, tuple[JointLogit, str, str]]:
        joint: dict[str, tuple[JointLogit, str, str]] = {}
        for task in _conditional_tasks(schema):
            path = schema.path(task)
            parent = path[0]
            for child in path[1:]:
                outcome = schema.joint_name(child)
                joint.setdefault(outcome, (JointLogit(name=outcome), parent, child))
                parent = outcome
        return joint

    def _more_heads(
        self, schema: Schema, graph: RankingGraph, tower_units: Sequence[int], dropout: float
    ) -> Mapping[str, Any]:
        heads: dict[str, Any] = {}
        if self.counterfactual is not None:
            for task in _conditional_tasks(schema):
                path_logit = graph.logits[_given(schema, task)]
                heads |= self.counterfactual.make_head(
                    task, graph.representations[task], path_logit, tower_units, dropout
                )
        return heads

    @property
    def prediction_names(self) -> list[str]:
        """Names of the tasks, then of the joint outcomes."""
        schema = self.schema
        return [*schema.task_names, *(schema.joint_name(task) for task in _conditional_tasks(schema))]

    def labels(self, y: Any) -> dict[str, Any]:
        """The label of each prediction, NaN where it is unknown or outside of its sample space."""
        schema, targets = self.schema, self._targets(y)
        joint = {schema.joint_name(task): joint_label(schema, task, targets) for task in _conditional_tasks(schema)}
        return {**super().labels(y), **joint}

    def _task_of(self, prediction: str) -> str:
        return {self.schema.joint_name(task): task for task in self.schema.task_names}.get(prediction, prediction)

    def _learned_outcome(self, task: str) -> str:
        return self.schema.joint_name(task)

    def _label_loss(self, task: str, labels: Mapping[str, Any], logits: Mapping[str, Any], weight: Any) -> Any:
        outcome = self.schema.joint_name(task)
        if outcome == task:
            return super()._label_loss(task, labels, logits, weight)
        loss = self._task_loss.of_batch(labels[outcome], logits[outcome], weight)
        if self.conditional_weight:
            loss = loss + self.conditional_weight * super()._label_loss(task, labels, logits, weight)
        return loss

    def _more_losses(
        self,
        task: str,
        labels: Mapping[str, Any],
        targets: Mapping[str, Any],
        y_pred: Mapping[str, Any],
        weight: Any,
    ) -> dict[str, tuple[float, Any]]:
        output = f"{task}/counterfactual"
        if self.counterfactual is None or output not in y_pred:
            return {}
        clicked = labels[_given(self.schema, task)]
        value = self.counterfactual.loss(clicked, labels[task], y_pred[task], y_pred[output], weight)
        return {output: (self.counterfactual.weight, value)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        counterfactual = self.counterfactual
        return {
            **super().get_config(),
            "conditional_weight": self.conditional_weight,
            "counterfactual": None if counterfactual is None else keras.saving.serialize_keras_object(counterfactual),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CTRModel":
        """Inverse of `get_config`."""
        counterfactual = config.get("counterfactual")
        if isinstance(counterfactual, dict):
            counterfactual = keras.saving.deserialize_keras_object(counterfactual, custom_objects)
        return super().from_config({**config, "counterfactual": counterfactual}, custom_objects)


def _given(schema: Schema, task: str) -> str:
    """The prediction that all comes true that a task is given: its parent, or the joint outcome up to it."""
    return schema.joint_name(schema.path(task)[-2])


def _conditional_tasks(schema: Schema) -> list[str]:
    """Tasks with a parent; raises if there is none, or no name left for what they lead to."""
    tasks = [task.name for task in schema.tasks if task.given is not None]
    if not tasks:
        raise ValueError(
            "A CVRModel needs a task with a parent, e.g. Task('purchase', given='click'). "
            f"Received tasks: {list(schema.tasks)}. For tasks without a parent, use a CTRModel."
        )
    taken = {*schema.task_names, *schema.feature_names}
    for task in tasks:
        if schema.joint_name(task) in taken:
            raise ValueError(
                f"The joint outcome of {' and '.join(schema.path(task))} is named {schema.joint_name(task)!r}, a "
                "name that the schema already has. Rename that feature or task."
            )
    return tasks
