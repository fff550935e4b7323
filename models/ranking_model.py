"""The base of the models that predict tasks: metrics, missing labels, checks and probabilities."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas
from ..metrics import Calibration, NormalizedEntropy
from .checks.batch_check import BatchCheck
from .checks.host_columns import as_host_array, frame_columns, is_frame
from .checks.sample_weights import checked_weights, class_weights
from .sample_spaces import conditional_label
from .table_model import TableModel


class RankingModel(TableModel):
    """Base of models that map named columns to a logit per task of a schema.

    A subclass builds the functional graph in `__init__`, sets `schema`, and
    implements `compute_loss`, see `TableModel`. While training its graph may have
    outputs beside the tasks'; outside of training they are left out.

    Example:

    See `CTRModel`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        """Logits of the tasks; while training, the graph's other outputs and the losses of its layers too."""
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if training else self._of_tasks(outputs)

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        """Symbolic outputs, as `call` returns them."""
        outputs = super().compute_output_spec(inputs, training=training, mask=mask)
        return outputs if training else self._of_tasks(outputs)

    @property
    def prediction_names(self) -> list[str]:
        """Names of what the model predicts: the schema's tasks, and what a subclass adds."""
        return self.schema.task_names

    def labels(self, y: Any) -> dict[str, Any]:
        """The label of each prediction, NaN where it is unknown or outside of its sample space.

        Args:
            y: labels by task, NaN where unobserved.
        """
        targets = self._targets(y)
        return {task: conditional_label(self.schema, task, targets) for task in self.schema.task_names}

    def _of_tasks(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: outputs[name] for name in self.prediction_names}

    def _default_metrics(self) -> dict[str, list[keras.Metric]]:
        names = self.prediction_names
        return {
            task: [
                # With a single output Keras does not put its name before a metric's.
                keras.metrics.BinaryCrossentropy(from_logits=True, name="loss" if len(names) > 1 else f"{task}_loss"),
                NormalizedEntropy(from_logits=True),
                keras.metrics.AUC(from_logits=True, num_thresholds=1000, name="auc"),
                Calibration(from_logits=True),
            ]
            for task in names
        }

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics of each prediction over the rows whose label is known."""
        labels, weights, logits = {}, {}, self._of_tasks(y_pred)
        for name, given_label in self.labels(y).items():
            label = ops.reshape(ops.cast(given_label, "float32"), (-1, 1))
            observed = ops.logical_not(ops.isnan(label))
            weight = ops.cast(observed, "float32")
            given = sample_weight[self._task_of(name)] if isinstance(sample_weight, Mapping) else sample_weight
            if given is not None:
                weight = weight * ops.reshape(ops.cast(given, "float32"), (-1, 1))
            labels[name], weights[name] = ops.where(observed, label, 0.0), weight
        if replicas.replica_count() > 1:
            # Each process measures the rows of all, so that every metric is what it is in one process.
            parts = [part[name] for part in (labels, weights, logits) for name in labels]
            columns = replicas.gather_rows(ops.concatenate([ops.cast(part, "float32") for part in parts], axis=-1))
            names, split = list(labels), iter(ops.split(columns, len(parts), axis=-1))
            labels, weights, logits = ({name: next(split) for name in names} for _ in range(3))
        return self._of_step(super().compute_metrics(x, labels, logits, weights), y_pred)

    def _task_of(self, prediction: str) -> str:
        """The task whose sample weights a prediction takes."""
        return prediction

    def _targets(self, y: Any) -> Mapping[str, Any]:
        if is_frame(y):
            y = frame_columns(y)
            if len(self.schema.tasks) == len(y) == 1:
                return dict(zip(self.schema.task_names, y.values(), strict=True))
        if isinstance(y, Mapping):
            missing = [task for task in self.schema.task_names if task not in y]
            if missing:
                raise ValueError(
                    f"`y` lacks the labels of {missing}. Expected: {self.schema.task_names} (NaN where unobserved). "
                    f"Received: {sorted(y)}."
                )
            return y
        if len(self.schema.tasks) == 1:
            return {self.schema.task_names[0]: y}
        raise ValueError(
            f"With several tasks, `y` must be a dict of labels by task {self.schema.task_names}. Received: {type(y)}."
        )

    def _batch_check(self, labels: bool = True) -> BatchCheck:
        """What the batches of a loader are compared with."""
        return BatchCheck(
            self.schema, self._check_batch, self._targets if labels else None, self._probability_columns()
        )

    def _check_batch(self, x: Any, y: Any, weight: Any) -> None:
        """Raise if arrays of a batch disagree with the schema; `x` is `None` where they were compared with it."""
        if x is not None:
            self.schema.check_batch(x, y)
        if y is not None:
            self._check_more_targets(y)
            self._checked_weight(y, weight)

    def predict_proba(
        self, x: Any, batch_size: int | None = None, verbose: str | int = 0, check: bool = True
    ) -> dict[str, np.ndarray]:
        """Probabilities by task, float32 of shape `(rows,)`, for columns or a loader; checked like `fit`."""
        logits = self.predict(x, batch_size, check, verbose=verbose)
        return {name: probabilities_of(logits[name].reshape(-1)) for name in self.prediction_names}

    def logits_model(self) -> keras.Model:
        """A model of the same weights with all that inference needs: no residual heads, no teacher, no optimizer."""
        return keras.Model(self.input, self._of_tasks(self.output))

    def _checked(self, x: Any, y: Any = None, watch: BatchCheck | None = None) -> tuple[Any, Any]:
        """Columns compared with the schema. Those on the host become arrays; those that it does not list are left out.

        Loaders pass as they are: their batches are checked when they are read. A loader must only have been fitted as
        the model's table was.
        """
        self.schema.check_loader(x)
        x = frame_columns(x)
        if not isinstance(x, Mapping):
            return x, y
        targets = None if y is None else self._targets(y)
        # Tensors of a device are looked at and left where they are.
        seen = {name: as_host_array(values) if ops.is_tensor(values) else values for name, values in x.items()}
        self.schema.check(seen, None if targets is None else {n: as_host_array(v) for n, v in targets.items()})
        if not any(ops.is_tensor(values) for values in x.values()):
            x = {f.name: np.asarray(x[f.name]).reshape((-1, *f.shape)) for f in self.schema.features}
        if targets is None:
            return x, y
        if not len(seen[self.schema.feature_names[0]]):
            raise ValueError("The columns have no rows. Expected at least one row.")
        if any(ops.is_tensor(values) for values in targets.values()):
            return x, y
        tasks = self.schema.task_names
        targets = {name: np.asarray(v, "float32" if name in tasks else None) for name, v in targets.items()}
        self._check_more_targets(targets)
        if watch is not None:
            watch.note_labels(targets)
        return x, targets

    def _checked_columns(self, x: Any) -> Any:
        return self._checked(x)[0]

    def _checked_weight(self, y: Any, weight: Any) -> Any:
        return checked_weights(y, weight)

    def _class_weights(self, class_weight: Any, y: Any, sample_weight: Any) -> Any:
        return class_weights(class_weight, self.schema.task_names, y, sample_weight)

    @property
    def _watched(self) -> list[str]:
        return self.prediction_names

    def _probability_columns(self) -> tuple[str, ...]:
        """The target columns in `[0, 1]` that are no task's label."""
        return ()

    def _check_more_targets(self, targets: Mapping[str, Any]) -> None:
        """Check the target columns on the host that are no task's label."""


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Sigmoid, split by sign so that no logit overflows the exponential."""
    decayed = np.exp(-np.abs(logits))
    return (np.where(logits >= 0, 1.0, decayed) / (1.0 + decayed)).astype("float32")
