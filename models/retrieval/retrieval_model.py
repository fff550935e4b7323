"""How a retrieval model trains: positives, candidates of the batch, metrics, checks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ...distribution import replicas
from ...metrics import InBatchRecall
from ...schema import Schema, Task
from ..checks.batch_check import BatchCheck
from ..checks.dealt_rows import DealtRows
from ..checks.host_columns import as_host_array, frame_columns, on_host
from ..table_model import TableModel
from .in_batch_softmax import InBatchSoftmax
from .sampling_frequency import SamplingFrequency
from .side_columns import side_columns


class RetrievalModel(TableModel):
    """Base of models that map named columns to a vector of the user and one of the ad.

    A subclass builds the functional graph, with the outputs `"user"` and `"ad"`, in
    `__init__`, and sets the attributes below.

    Example:

    See `TwoTowerModel`.
    """

    user_schema: Schema
    ad_schema: Schema
    ad_id: str
    positive: str
    sampling_probability: str | None
    sampling_frequency: SamplingFrequency | None
    in_batch_softmax: InBatchSoftmax

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """In-batch softmax over the positives; in training with the gradient of the layers' own losses too."""
        targets = self._targets(y)
        probability = None
        if self.sampling_frequency is not None:
            probability = self.sampling_frequency(x[self.ad_id], training=training)
        elif self.sampling_probability is not None:
            probability = ops.cast(targets[self.sampling_probability], "float32")
        weight = self._positive_weight(targets, sample_weight)
        loss = self.in_batch_softmax(y_pred["user"], y_pred["ad"], x[self.ad_id], weight, probability)
        if not training:
            return loss
        total = loss + self._added_losses(y_pred)
        parts = {name: y_pred[name] for name in self._steering_losses if name in y_pred}
        return self._steered(loss, total, x, parts)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics of the positives' scores, as they are served: without the correction that training needs."""
        scores = self.in_batch_softmax.scores(y_pred["user"], y_pred["ad"], x[self.ad_id])
        own = ops.arange(ops.shape(scores)[0])
        weight = self._positive_weight(self._targets(y), sample_weight)
        return self._of_step(super().compute_metrics(x, own, scores, weight), y_pred)

    def _refuse_replicas(self, method: str) -> None:
        found = replicas.found_replicas(getattr(self, "distribute_strategy", None))
        if found is not None:
            raise RuntimeError(
                f"{type(self).__name__}.{method} takes the candidates of a row from its batch, of which a copy of the "
                f"model has a part alone. Received: {found}. Train in one process on one device, or with "
                "KERAS_BACKEND=jax and keras.distribution.DataParallel."
            )

    def _dealt(self, method: str, train: bool = False) -> DealtRows:
        # Copies of a row would be candidates of the others.
        return DealtRows(method, [self.positive], train, pad=False)

    def _positive_weight(self, targets: Mapping[str, Any], sample_weight: Any) -> Any:
        label = ops.reshape(ops.cast(targets[self.positive], "float32"), (-1,))
        weight = ops.where(ops.isnan(label), 0.0, label)
        if isinstance(sample_weight, Mapping):
            # Keras repeats weights for each of several target columns.
            sample_weight = sample_weight[self.positive]
        return weight if sample_weight is None else weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))

    def _targets(self, y: Any) -> Mapping[str, Any]:
        """Target columns by name: labels, and sampling probabilities if a column holds them."""
        y = frame_columns(y)
        targets = y if isinstance(y, Mapping) else {} if y is None else {self.positive: y}
        column = self.sampling_probability if self.sampling_frequency is None else None
        expected = [self.positive] if column is None else [self.positive, column]
        missing = [name for name in expected if name not in targets]
        if missing:
            raise ValueError(
                f"`y` lacks the target columns {missing}. Expected: {expected}, the labels of the task that makes "
                f"positives{' and the sampling probabilities' if column else ''}. Received: {sorted(targets)}."
            )
        return targets

    def _batch_check(self, labels: bool = True) -> BatchCheck:
        """What the batches of a loader are compared with."""
        schema = Schema([*self.user_schema.features, *self.ad_schema.features], [Task(self.positive)])

        def check(x: Any, y: Any, weight: Any) -> None:
            if x is not None:
                schema.check_batch(x, y)
            if y is not None:
                self._check_more(y)
                self._checked_weight(y, weight)

        column = self.sampling_probability if self.sampling_frequency is None else None
        return BatchCheck(schema, check, self._targets if labels else None, () if column is None else (column,))

    @property
    def _watched(self) -> list[str]:
        return [self.positive]

    def _default_metrics(self) -> list[keras.metrics.Metric]:
        return [InBatchRecall(1), InBatchRecall(10)]

    def _class_weights(self, class_weight: Any, y: Any, sample_weight: Any) -> Any:
        raise ValueError(
            "A retrieval model learns from positives alone, so a `class_weight` would change nothing. Use "
            "`sample_weight` to weigh rows."
        )

    def _checked_columns(self, x: Any) -> Any:
        """Columns of both sides, checked; a loader as it is: its batches are checked when they are read."""
        self.schema.check_loader(x)
        x = frame_columns(x)
        if not isinstance(x, Mapping):
            return x
        return {**side_columns(self.user_schema, x), **side_columns(self.ad_schema, x)}

    def _checked(self, x: Any, y: Any, watch: BatchCheck | None = None) -> tuple[Any, Any]:
        columns = self._checked_columns(x)
        if not isinstance(columns, Mapping):
            return x, y
        targets = self._targets(y)
        seen = {name: as_host_array(values) for name, values in targets.items()}
        ids = as_host_array(columns[self.ad_id])
        Schema([self.ad_schema[self.ad_id]], [Task(self.positive)]).check({self.ad_id: ids}, seen)
        rows = {name: len(values) for name, values in columns.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"All columns must have the same number of rows. Received: {rows}.")
        if not len(ids):
            raise ValueError("The columns have no rows. Expected at least one row.")
        self._check_more(seen)
        if watch is not None:
            watch.note_labels(seen)
        if not all(on_host(values) for values in targets.values()):
            return columns, y
        return columns, {name: np.asarray(values, "float32") for name, values in seen.items()}

    def _check_more(self, targets: Mapping[str, np.ndarray]) -> None:
        """Check the target column on the host that is no label."""
        if self.sampling_frequency is None and self.sampling_probability is not None:
            values = np.asarray(targets[self.sampling_probability], "float32")
            _check_numbers(self.sampling_probability, values, (values > 0) & (values <= 1), "a probability in (0, 1]")

    def _checked_weight(self, y: Any, weight: Any) -> Any:
        """Weights of the rows; of weights by task, those of the positives' task."""
        if isinstance(weight, Mapping):
            weight = weight.get(self.positive)
        if weight is not None and on_host(weight):
            weight = np.asarray(weight, "float32").reshape(-1)
            inside = np.isfinite(weight) & (weight >= 0)
            _check_numbers("sample_weight", weight, inside, "a finite number that is not negative")
        return weight


def _check_numbers(name: str, values: np.ndarray, inside: np.ndarray, expected: str) -> None:
    wrong = np.flatnonzero(~inside)
    if wrong.size:
        raise ValueError(
            f"`{name}`, row {wrong[0]}: expected {expected}. Received: {values.reshape(-1)[wrong[0]]:g}; "
            f"{wrong.size} of {values.size} rows are wrong."
        )
