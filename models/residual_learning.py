"""How a ranking model uses pseudo-labels: eq. 4 – 8."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..layers import ParallelMLP
from ..losses import ObservedBinaryCrossentropy, ResidualLabelLoss
from ..losses.observed_loss import check_targets


@keras.saving.register_keras_serializable(package="grouprank")
class ResidualLearning:
    """Residual and distillation losses of a model's tasks, and where their pseudo-labels come from.

    A task's loss becomes `L = CE(f, y) + d · CE(f_pseudo, p) + α · L_res(f0, f1, y, p)`
    (eq. 4 – 8), with heads `f_pseudo`, `f0` and `f1` of their own on the shared
    representation. They steer training only; inference and exported models do not
    have them. `weight=0` leaves plain distillation (eq. 6), the control that
    a residual learning gain has to beat.

    A teacher's predictions for its own training rows shrink the residual. Take predictions for rows that are later
    than those it was trained on.

    Args:
        teacher: `"self"` (the task's own prediction), the name of a target column
            of pseudo-labels with `{task}` standing for the task's name, a dict of
            such names by task, or a `keras.Model` that maps the model's inputs to
            `{task: logit}` and is frozen. `"yesterday"` is short for the columns
            `yesterday_{task}`, which `grouprank.incremental.IncrementalTrainer` fills with
            the predictions that the model of the day before made. Defaults to `"self"`.
        weight: `α` of eq. 8. Defaults to `0.1`.
        distillation_weight: `d`, factor of eq. 5. `None` takes `1.0`, and `0.0` for
            `teacher="self"`, which has nothing to distil. Defaults to `None`.
        reading: how eq. 7 is read, see `ResidualLabelLoss`. Defaults to `"magnitude"`.
        units: widths of hidden layers of each head. Defaults to `(32,)`.
        tasks: names of the tasks concerned, `None` for all. Defaults to `None`.

    Raises:
        ValueError: on a negative weight, or a teacher of another kind.

    Example:

    >>> learning = ResidualLearning(teacher="teacher_{task}", weight=0.2)
    >>> learning.column("click")
    'teacher_click'
    >>> ResidualLearning(teacher="teacher_{task}", weight=0.0).has_residual
    False

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, §3.2.
    """

    def __init__(
        self,
        teacher: str | Mapping[str, str] | keras.Model = "self",
        weight: float = 0.1,
        distillation_weight: float | None = None,
        reading: str = "magnitude",
        units: Sequence[int] = (32,),
        tasks: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(teacher, str | Mapping | keras.Model):
            raise ValueError(
                '`teacher` must be "self", the name of a target column, a dict of such names by task or a keras.Model. '
                f"Received: teacher={teacher!r}."
            )
        for argument, value in (("weight", weight), ("distillation_weight", distillation_weight)):
            if value is not None and value < 0:
                raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}.")
        self.teacher = dict(teacher) if isinstance(teacher, Mapping) else teacher
        if isinstance(teacher, keras.Model):
            teacher.trainable = False
        self.weight = weight
        if distillation_weight is None:
            distillation_weight = 0.0 if teacher == "self" else 1.0
        self.distillation_weight = distillation_weight
        self.reading = reading
        self.units = tuple(units)
        self.tasks = None if tasks is None else tuple(tasks)
        self._residual_loss = ResidualLabelLoss(reading=reading)
        self._distillation_loss = ObservedBinaryCrossentropy()

    @classmethod
    def get(cls, identifier: "bool | ResidualLearning | None") -> "ResidualLearning | None":
        """The given object, one with the defaults for `True`, `None` for `False`."""
        if isinstance(identifier, cls):
            return identifier
        if identifier is None or isinstance(identifier, bool):
            return cls() if identifier else None
        raise ValueError(
            "`residual_learning` must be True, False or a grouprank.models.ResidualLearning. "
            f"Received: residual_learning={identifier!r}."
        )

    @property
    def has_residual(self) -> bool:
        """Whether heads `f0` and `f1` exist."""
        return self.weight > 0

    @property
    def has_distillation(self) -> bool:
        """Whether head `f_pseudo` exists."""
        return self.distillation_weight > 0

    def concerns(self, task: str) -> bool:
        """Whether a task has these losses."""
        if isinstance(self.teacher, dict) and task not in self.teacher:
            return False
        return self.tasks is None or task in self.tasks

    def column(self, task: str) -> str | None:
        """Name of the target column with the task's pseudo-labels, `None` if they are not a column."""
        if isinstance(self.teacher, dict):
            return self.teacher[task]
        if self.teacher == "yesterday":
            return f"yesterday_{task}"
        if isinstance(self.teacher, str) and self.teacher != "self":
            return self.teacher.format(task=task)
        return None

    def pseudo_labels(self, task: str, targets: Mapping[str, Any], logits: Mapping[str, Any]) -> Any:
        """Probabilities `(batch,)` for a task; `logits` are the teacher model's, or the model's own."""
        column = self.column(task)
        if column is None and task not in logits:
            raise ValueError(
                f"The teacher gives no logit for task {task!r}. It must map the model's inputs to {{task: logit}}. "
                f"Received outputs: {sorted(logits)}. Use `tasks` to leave {task!r} out."
            )
        if column is None:
            return ops.stop_gradient(ops.sigmoid(ops.reshape(ops.cast(logits[task], "float32"), (-1,))))
        self.check_columns(targets, [task])
        return ops.reshape(ops.cast(targets[column], "float32"), (-1,))

    def make_heads(self, representations: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[Any, int]]]:
        """Symbolic logits of the tasks' heads, and their biases.

        The heads are `task/pseudo` (batch, 1) and `task/residual` (batch, 2); of each, the weight that holds its
        biases and the position of the first one.

        Heads over the same tensor are one product, so that the tensor is read, and its gradient summed, only once.

        Args:
            representations: symbolic `(batch, width)` by task.
        """
        kinds = [("pseudo", 1)] * self.has_distillation + [("residual", 2)] * self.has_residual
        tasks_of: dict[int, list[str]] = {}
        for task, representation in representations.items():
            if kinds and self.concerns(task):
                tasks_of.setdefault(id(representation), []).append(task)
        heads, biases = {}, {}
        for tasks in tasks_of.values():
            named = [(f"{task}/{kind}", width) for task in tasks for kind, width in kinds]
            name = f"{'_'.join(tasks)}_heads"
            bank = ParallelMLP(sum(width for _, width in named), self.units, output_units=1, name=name)
            logits = bank(representations[tasks[0]])[:, :, 0]
            start = 0
            for head, width in named:
                heads[head] = logits[:, start : start + width]
                biases[head] = (bank.last_bias, start)
                start += width
        return heads, biases

    def start(self, rate: float) -> dict[str, list[float]]:
        """Logits at which the heads of a task start, by kind of head, if the pseudo-labels have the task's rate.

        Args:
            rate: strictly between 0 and 1.
        """
        return {
            "pseudo": [math.log(rate) - math.log1p(-rate)],
            "residual": list(self._residual_loss.best_constants(rate)),
        }

    def check_tasks(self, task_names: Sequence[str]) -> None:
        """Raise if a schema does not have a task that is named here, whose losses would silently be missing."""
        named = [*(self.tasks or ()), *(self.teacher if isinstance(self.teacher, dict) else ())]
        unknown = sorted(set(named) - set(task_names))
        if unknown:
            raise ValueError(f"`residual_learning` names unknown tasks {unknown}. Tasks: {list(task_names)}.")

    def check_columns(self, targets: Mapping[str, Any], task_names: Sequence[str]) -> None:
        """Raise if a target column of pseudo-labels is missing."""
        for task in task_names:
            column = self.column(task) if self.concerns(task) else None
            if column is not None and column not in targets:
                raise ValueError(
                    f"Task {task!r} takes its pseudo-labels from the target column {column!r}, which is missing. "
                    f"Received targets: {sorted(targets)}. Add the column to `y` (a loader's `targets=[{column!r}]`)."
                )

    def check(self, targets: Mapping[str, Any], task_names: Sequence[str]) -> None:
        """Raise if a pseudo-label of a target column on the host lies outside `[0, 1]`."""
        for task in task_names:
            column = self.column(task) if self.concerns(task) else None
            if column is not None and column in targets:
                check_targets(f"Pseudo-label column {column!r}", targets[column])

    def losses(self, label: Any, pseudo_label: Any, heads: Mapping[str, Any], sample_weight: Any) -> dict[str, Any]:
        """`CE(f_pseudo, p)` and `L_res` by kind of head, for logits `"pseudo"` and `"residual"` (batch, 2)."""
        found = {}
        label = ops.reshape(ops.cast(label, "float32"), (-1,))
        if "pseudo" in heads:
            found["pseudo"] = self._distillation_loss.of_batch(pseudo_label, heads["pseudo"], sample_weight)
        if "residual" in heads:
            targets = ops.stack([label, pseudo_label], axis=-1)
            found["residual"] = self._residual_loss.of_batch(targets, heads["residual"], sample_weight)
        return found

    def factor(self, kind: str) -> float:
        """Factor of the loss of a kind of head: `d` of `"pseudo"`, `α` of `"residual"`."""
        return self.distillation_weight if kind == "pseudo" else self.weight

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        teacher = self.teacher
        return {
            "teacher": keras.saving.serialize_keras_object(teacher) if isinstance(teacher, keras.Model) else teacher,
            "weight": self.weight,
            "distillation_weight": self.distillation_weight,
            "reading": self.reading,
            "units": list(self.units),
            "tasks": None if self.tasks is None else list(self.tasks),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ResidualLearning":
        """Inverse of `get_config`."""
        config = dict(config)
        if isinstance(config["teacher"], dict) and "class_name" in config["teacher"]:
            config["teacher"] = keras.saving.deserialize_keras_object(config["teacher"])
        return cls(**config)
