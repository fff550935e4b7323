"""The base of the models of several tasks: what they learn from labels, and how they are calibrated."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas
from ..layers import LogitCalibration, MultiTask, TaskWeighting
from ..losses import ObservedBinaryCrossentropy, OrderedProbabilityLoss
from .calibrations import check_evaluated_loader, check_loader_rates, fit_calibrations, probability_in_sample
from .delayed_feedback import DelayedFeedback
from .ranking_model import RankingModel
from .rate_start import RateStart
from .residual_learning import ResidualLearning


class MultiTaskModel(RankingModel):
    """Base of the models that learn several tasks at once, each from its own labels and from pseudo-labels.

    The loss of a task is the cross entropy of its labels. Residual learning adds losses of its heads, and a structure
    that orders tasks adds one for each pair. `task_weighting` makes one loss of the tasks'. `calibrate` fits what
    corrects the predictions afterwards.

    A subclass builds the functional graph in `__init__`, sets the attributes below and calls `_show_losses`.

    Example:

    See `CTRModel`.
    """

    multi_task: MultiTask
    task_weighting: TaskWeighting
    residual_learning: ResidualLearning | None
    teacher: keras.Model | None
    calibrations: dict[str, LogitCalibration]
    delayed_feedback: DelayedFeedback
    start_at_rate: bool
    _task_loss: ObservedBinaryCrossentropy
    _rate_start: RateStart

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        """As `RankingModel.call`; while training, with the loss of tasks in an order too, if they have one."""
        outputs = super().call(inputs, training=training, mask=mask)
        if training and self.multi_task.ordered_weight:
            outputs["ordered"] = self._ordered_loss(outputs)
        return outputs

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configure training; see `TableModel.compile`. A teacher is frozen again."""
        if self.teacher is not None:
            self.teacher.trainable = False
        super().compile(*args, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Cross entropies of the tasks; in training with the gradient of all that `training_loss` adds."""
        losses = self._label_losses(y, y_pred, sample_weight)
        loss = self.task_weighting.combine(losses, training=False)
        if training:
            total, parts = self._training_loss(losses, x, y, y_pred, sample_weight)
            loss = self._steered(loss, total, x, parts)
        return replicas.scaled(loss)

    def training_loss(
        self, x: Any, y: Any, y_pred: Mapping[str, Any], sample_weight: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """What training minimizes: eq. 8 summed over tasks, plus the layers' own losses.

        `fit` prints neither this sum nor its parts' factors: `loss` is the cross entropies, and each part is a metric.

        Args:
            x: columns.
            y: labels by task, and columns of pseudo-labels.
            y_pred: what the model gives for `x` with `training=True`.
            sample_weight: weights of the rows, or by task. Defaults to `None`.

        Returns:
            The sum, and the losses that only steer it, by output and without their factors.
        """
        return self._training_loss(self._label_losses(y, y_pred, sample_weight), x, y, y_pred, sample_weight)

    def _training_loss(
        self, label_losses: Mapping[str, Any], x: Any, y: Any, y_pred: Mapping[str, Any], sample_weight: Any
    ) -> tuple[Any, dict[str, Any]]:
        targets, labels = self._targets(y), self.labels(y)
        learning = self.residual_learning
        teacher_logits = y_pred
        if learning is not None and self.teacher is not None:
            # A teacher of our own kind may know fewer columns than its pupil.
            known = self.teacher.schema.feature_names if isinstance(self.teacher, RankingModel) else x
            teacher_logits = self.teacher({name: x[name] for name in known}, training=False)
        parts = {name: y_pred[name] for name in self._steering_losses if name in y_pred and "/" not in name}
        delayed = self._delayed_losses(targets, y_pred, sample_weight)
        losses = {**label_losses, **delayed}
        parts |= {f"{task}/delayed": value for task, value in delayed.items()}
        for task in self.schema.task_names:
            weight = _weight_of(task, sample_weight)
            found = {
                **self._residual_losses(task, labels, targets, teacher_logits, y_pred, weight),
                **self._more_losses(task, labels, targets, y_pred, weight),
            }
            for output, (factor, value) in found.items():
                parts[output] = value
                losses[task] = losses[task] + factor * value
        total = self.task_weighting.combine(losses, training=True)
        if "ordered" in parts:
            total = total + self.multi_task.ordered_weight * parts["ordered"]
        return total + self._added_losses(y_pred), parts

    def _delayed_losses(
        self, targets: Mapping[str, Any], y_pred: Mapping[str, Any], sample_weight: Any
    ) -> dict[str, Any]:
        """What training takes in place of the cross entropy of tasks whose conversions come late."""
        losses = {}
        for task in self.delayed_feedback.losses:
            if f"{task}/delayed" in y_pred:
                outcome = self._learned_outcome(task)
                losses[task] = self.delayed_feedback.loss(
                    task,
                    self.schema,
                    targets,
                    y_pred[outcome],
                    y_pred[f"{task}/delayed"],
                    _weight_of(task, sample_weight),
                    entire=outcome != task,
                )
        return losses

    def _learned_outcome(self, task: str) -> str:
        """The prediction that a task's label loss is about."""
        return task

    def _residual_losses(
        self,
        task: str,
        labels: Mapping[str, Any],
        targets: Mapping[str, Any],
        teacher_logits: Mapping[str, Any],
        y_pred: Mapping[str, Any],
        weight: Any,
    ) -> dict[str, tuple[float, Any]]:
        """Factor and value of the losses of residual learning, by output."""
        learning = self.residual_learning
        heads = {kind: y_pred[f"{task}/{kind}"] for kind in ("pseudo", "residual") if f"{task}/{kind}" in y_pred}
        if learning is None or not heads:
            return {}
        pseudo_label = learning.pseudo_labels(task, targets, teacher_logits)
        if learning.teacher != "self" and task in self.negative_rate:
            # A teacher speaks of all rows, the heads learn the sample.
            pseudo_label = probability_in_sample(pseudo_label, self.negative_rate[task])
        values = learning.losses(labels[task], pseudo_label, heads, weight)
        return {f"{task}/{kind}": (learning.factor(kind), value) for kind, value in values.items()}

    def _more_losses(
        self,
        task: str,
        labels: Mapping[str, Any],
        targets: Mapping[str, Any],
        y_pred: Mapping[str, Any],
        weight: Any,
    ) -> dict[str, tuple[float, Any]]:
        """Factor and value of further losses that only steer a task's training, by output."""
        return {}

    def _ordered_loss(self, logits: Mapping[str, Any]) -> Any:
        """How far tasks are more probable than those they follow, summed over the pairs."""
        pairs = self.multi_task.ordered_pairs.items()
        logits_of = [ops.concatenate([logits[parent], logits[child]], axis=-1) for child, parent in pairs]
        return sum(OrderedProbabilityLoss().of_batch(None, pair) for pair in logits_of)

    def _label_losses(self, y: Any, logits: Mapping[str, Any], sample_weight: Any) -> dict[str, Any]:
        """Cross entropy by task."""
        labels = self.labels(y)
        tasks = self.schema.task_names
        return {task: self._label_loss(task, labels, logits, _weight_of(task, sample_weight)) for task in tasks}

    def _label_loss(self, task: str, labels: Mapping[str, Any], logits: Mapping[str, Any], weight: Any) -> Any:
        """Cross entropy of a task's label."""
        return self._task_loss.of_batch(labels[task], logits[task], weight)

    @property
    def negative_rate(self) -> dict[str, float]:
        """The share of negatives for which predictions are corrected, by task; tasks of all rows are left out."""
        rates = {task: layer.negative_rate for task, layer in self.calibrations.items()}
        return {task: rate for task, rate in rates.items() if rate < 1.0}

    def calibrate(
        self, predictions: Mapping[str, Any], y: Any, sample_weight: Any = None, strength: float = 1.0
    ) -> None:
        """Fit the calibration of each task to predictions of this model and what came of them.

        Take what the model predicts for new rows that it was not and will not be trained on. Rows that it is trained
        on afterwards are a poor guide: the training corrects the same error once more. All predictions must have been
        made with the present map, which is taken back first, so that the new one replaces it. A task without known
        labels keeps its map. See `LogitCalibration.fit` for how the map is held back where positives are few, and
        `docs/calibration.md` for what it gains.

        Args:
            predictions: probabilities by task, as `predict_proba` returns them.
            y: labels by task, NaN where unobserved; a data frame; or the labels of the one task.
            sample_weight: weights of the rows, or by task. Defaults to `None`.
            strength: how strongly the map is held close to the identity. Defaults to `1.0`.

        Raises:
            ValueError: if the model was made without `calibration`, predictions of a task are missing or no
                probabilities, or labels or weights are wrong. All maps then stay as they were.
        """
        if not self.calibrations:
            raise ValueError(
                f"{type(self).__name__} has nothing to calibrate. Make it with `calibration=True`, or with the names "
                "of the tasks."
            )
        targets = self._targets(y)
        labels = self.labels({name: np.asarray(targets[name], "float32") for name in self.schema.task_names})
        fit_calibrations(self.calibrations, predictions, labels, sample_weight, strength)

    def _before_training(self, x: Any, y: Any, sample_weight: Any) -> None:
        check_loader_rates(x, self.negative_rate)
        if self.residual_learning is not None and y is not None:
            # Before the step is traced: an error inside it leaves JAX models unusable.
            self.residual_learning.check_columns(self._targets(y), self.schema.task_names)
        if y is not None:
            self.delayed_feedback.check_columns(self._targets(y))
        self._start_at_rates(x, y, sample_weight)

    def _before_evaluation(self, x: Any) -> None:
        check_evaluated_loader(x)

    def _start_at_rates(self, x: Any, y: Any, sample_weight: Any) -> None:
        optimizer = getattr(self, "optimizer", None)
        trained = optimizer is not None and int(ops.convert_to_numpy(optimizer.iterations)) > 0
        if not self.start_at_rate or trained:
            return
        if any(self._rate_start.waits_for(task) for task in self.schema.task_names):
            self._rate_start.set(self._rate_start.rates(self, x, y, sample_weight))

    def _check_more_targets(self, targets: Mapping[str, Any]) -> None:
        if self.residual_learning is not None:
            self.residual_learning.check(targets, self.schema.task_names)
        self.delayed_feedback.check(targets)

    def _probability_columns(self) -> tuple[str, ...]:
        learning, tasks = self.residual_learning, self.schema.task_names
        columns = [learning.column(task) for task in tasks if learning.concerns(task)] if learning is not None else []
        return tuple(column for column in columns if column is not None)


def _weight_of(task: str, sample_weight: Any) -> Any:
    return sample_weight[task] if isinstance(sample_weight, Mapping) else sample_weight
