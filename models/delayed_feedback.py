"""Tasks whose conversions come late, and what a model makes of them in training."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from ..layers import MLP
from ..losses import DelayedLoss
from ..schema import Schema
from .checks.host_columns import as_host_array
from .sample_spaces import joint_label

_HEAD_UNITS = (32,)


class DelayedFeedback:
    """The losses of a model's tasks whose conversions come late, their target columns, and their heads.

    A task `purchase` with such a loss takes what is known of its conversions from the target column
    `purchase_delays`, as wide as the loss says. In training its head `purchase/delayed` predicts what the loss needs
    beside the logit.

    Args:
        losses: a loss for each task concerned, or `None`.
        schema: the table.

    Raises:
        ValueError: on an unknown task, or anything but a `DelayedLoss`.

    Example:

    >>> from grouprank import Categorical, Task
    >>> from grouprank.losses import DelayedFeedbackLoss
    >>> schema = Schema([Categorical("ad_id", 5)], [Task("click"), Task("purchase", given="click")])
    >>> DelayedFeedback({"purchase": DelayedFeedbackLoss()}, schema).column("purchase")
    'purchase_delays'
    """

    def __init__(self, losses: Mapping[str, DelayedLoss] | None, schema: Schema) -> None:
        self.losses = dict(losses or {})
        unknown = sorted(set(self.losses) - set(schema.task_names))
        if unknown:
            raise ValueError(f"`delayed_feedback` names unknown tasks {unknown}. Tasks: {schema.task_names}.")
        for task, loss in self.losses.items():
            if not isinstance(loss, DelayedLoss):
                raise ValueError(
                    f"`delayed_feedback` of task {task!r} must be a grouprank.losses.DelayedLoss, such as "
                    f"DelayedFeedbackLoss(). Received: {loss!r}."
                )

    def column(self, task: str) -> str:
        """Name of the target column of a task."""
        return f"{task}_delays"

    def make_heads(self, representations: Mapping[str, Any]) -> dict[str, Any]:
        """Symbolic outputs `task/delayed` of what the losses need beside the logits.

        Args:
            representations: symbolic `(batch, width)` by task.
        """
        heads = {}
        for task, loss in self.losses.items():
            tower = MLP(_HEAD_UNITS, output_units=len(loss.predictions) - 1, name=f"{task}_delayed")
            heads[f"{task}/delayed"] = tower(representations[task])
        return heads

    def loss(
        self, task: str, schema: Schema, targets: Mapping[str, Any], logit: Any, head: Any, weight: Any, entire: bool
    ) -> Any:
        """A task's loss.

        Args:
            task: name of the task.
            schema: the table.
            targets: target columns by name.
            logit: `(batch, 1)`, of the task or, over the entire space, of its joint outcome.
            head: what the task's head gives.
            weight: weights of the rows, or `None`.
            entire: whether rows count on which something that the task is given did not come true. There no
                conversion can come.
        """
        loss = self.losses[task]
        target = ops.cast(targets[self.column(task)], "float32")
        parents = schema.path(task)[:-1]
        if parents:
            clicked = ops.reshape(joint_label(schema, parents[-1], targets), (-1, 1))
            unknown = ops.full_like(target, float("nan"))
            refuted = unknown
            if entire:
                refuted = ops.broadcast_to(ops.convert_to_tensor(loss.refuted, "float32"), ops.shape(target))
            target = ops.where(clicked == 1.0, target, ops.where(clicked == 0.0, refuted, unknown))
        predictions = ops.concatenate([ops.cast(part, "float32") for part in (logit, head)], axis=-1)
        return loss.of_batch(target, predictions, weight)

    def check_columns(self, targets: Mapping[str, Any]) -> None:
        """Raise if a target column is missing."""
        missing = [self.column(task) for task in self.losses if self.column(task) not in targets]
        if missing:
            raise ValueError(
                f"`delayed_feedback` takes what is known of conversions from the target columns {missing}, which are "
                f"missing. Received targets: {sorted(targets)}. Make them with `grouprank.losses.conversion_delays` or "
                "`elapsed_time_samples`, and add them to `y`."
            )

    def check(self, targets: Mapping[str, Any]) -> None:
        """Raise if a target column on the host has another shape than its loss takes, or wrong values."""
        for task, loss in self.losses.items():
            column = self.column(task)
            if column not in targets:
                continue
            values = as_host_array(targets[column])
            if values.ndim != 2 or values.shape[1] != len(loss.targets):
                raise ValueError(
                    f"Target column {column!r} ({', '.join(loss.targets)}): expected the shape "
                    f"(rows, {len(loss.targets)}). Received: {values.shape}."
                )
            loss.check_targets(values)
