"""How a retrieval model trains: positives, candidates of the batch, metrics, checks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ...layers import FusedEmbedding
from ...metrics import CodebookHealth
from ...schema import Schema, Task
from .in_batch_recall import InBatchRecall
from .in_batch_softmax import InBatchSoftmax
from .sampling_frequency import SamplingFrequency
from .side_columns import on_host, side_columns


class RetrievalModel(keras.Model):
    """Base of models that map named columns to a vector of the user and one of the ad.

    A subclass builds the functional graph, with the outputs `"user"` and `"ad"`, in
    `__init__`, and sets the attributes below.

    Example:

    See `TwoTowerModel`.
    """

    schema: Schema
    user_schema: Schema
    ad_schema: Schema
    ad_id: str
    positive: str
    sampling_probability: str | None
    sampling_frequency: SamplingFrequency | None
    in_batch_softmax: InBatchSoftmax
    group_concats: Mapping[str, Any]

    def compile(
        self, optimizer: Any = None, loss: Any = None, metrics: Any = None, weighted_metrics: Any = None, **kwargs: Any
    ) -> None:
        """Configure training.

        Args:
            optimizer: Keras optimizer or its name. `None` takes Adam at 0.001.
            loss: must be `None`; the loss is built in.
            metrics: list of metrics whose targets are the column of each row's own ad, whose
                predictions its scores, `(batch, batch)`, and whose weights the positives'.
                `None` takes `InBatchRecall` at 1 and 10.
            weighted_metrics: as `metrics`.
            **kwargs: further arguments of `keras.Model.compile`.
        """
        if loss is not None:
            raise ValueError(f"{type(self).__name__} has its own loss; leave `loss` out. Received: loss={loss!r}.")
        if metrics is not None and weighted_metrics is not None:
            raise ValueError("Pass either `metrics` or `weighted_metrics`; here they mean the same.")
        given = metrics if metrics is not None else weighted_metrics
        for layer in self._flatten_layers():
            if isinstance(layer, FusedEmbedding):
                # Here too: an error while Keras traces a step on JAX leaves the model unusable.
                layer.check_optimizer(optimizer)
        super().compile(
            optimizer=optimizer if optimizer is not None else keras.optimizers.Adam(1e-3),
            weighted_metrics=given if given is not None else [InBatchRecall(1), InBatchRecall(10)],
            **kwargs,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """In-batch softmax over the positives; in training also the layers' own losses."""
        targets = self._targets(y)
        probability = None
        if self.sampling_frequency is not None:
            probability = self.sampling_frequency(x[self.ad_id], training=training)
        elif self.sampling_probability is not None:
            probability = ops.cast(targets[self.sampling_probability], "float32")
        weight = self._positive_weight(targets, sample_weight)
        total = self.in_batch_softmax(y_pred["user"], y_pred["ad"], x[self.ad_id], weight, probability)
        for loss in self.losses if training else ():
            total = total + ops.sum(ops.cast(loss, "float32"))
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics of the positives' scores, as they are served: without the correction that training needs."""
        scores = self.in_batch_softmax.scores(y_pred["user"], y_pred["ad"], x[self.ad_id])
        own = ops.arange(ops.shape(scores)[0])
        return super().compute_metrics(x, own, scores, self._positive_weight(self._targets(y), sample_weight))

    def _positive_weight(self, targets: Mapping[str, Any], sample_weight: Any) -> Any:
        label = ops.reshape(ops.cast(targets[self.positive], "float32"), (-1,))
        weight = ops.where(ops.isnan(label), 0.0, label)
        if isinstance(sample_weight, Mapping):
            # Keras repeats weights for each of several target columns.
            sample_weight = sample_weight[self.positive]
        return weight if sample_weight is None else weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))

    def _targets(self, y: Any) -> Mapping[str, Any]:
        """Target columns by name: labels, and sampling probabilities if a column holds them."""
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

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does; columns given as arrays are checked against the schema first.

        A positive is told apart from the other ads of its batch: large batches of
        shuffled rows make a better model.
        """
        callbacks = kwargs.get("callbacks") or []
        if self.group_concats and isinstance(callbacks, list | tuple):
            kwargs["callbacks"] = [CodebookHealth(), *callbacks]
        x, y = self._checked(x, y)
        kwargs["sample_weight"] = self._checked_weight(kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        self.schema.check_loader(validation)
        if isinstance(validation, tuple | list):
            weights = (self._checked_weight(weight) for weight in validation[2:])
            kwargs["validation_data"] = (*self._checked(*validation[:2]), *weights)
        return super().fit(x, y, batch_size, epochs, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Loss and metrics within batches, as `keras.Model.evaluate`, checked like `fit`."""
        x, y = self._checked(x, y)
        kwargs["sample_weight"] = self._checked_weight(kwargs.get("sample_weight"))
        return super().evaluate(x, y, batch_size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """`{"user": vectors, "ad": vectors}` of rows with the columns of both sides, checked like `fit`."""
        return super().predict(self._checked_columns(x), batch_size, **kwargs)

    def _checked_columns(self, x: Any) -> Any:
        """Columns of both sides; a loader as it is: its data was checked when it was prepared."""
        self.schema.check_loader(x)
        if not isinstance(x, Mapping):
            return x
        return {**side_columns(self.user_schema, x), **side_columns(self.ad_schema, x)}

    def _checked(self, x: Any, y: Any) -> tuple[Any, Any]:
        columns = self._checked_columns(x)
        if not isinstance(x, Mapping):
            return x, y
        targets = self._targets(y)
        if not all(on_host(values) for values in targets.values()) or not on_host(columns[self.ad_id]):
            return columns, y
        Schema([self.ad_schema[self.ad_id]], [Task(self.positive)]).check(columns, targets)
        rows = {name: len(values) for name, values in columns.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"All columns must have the same number of rows. Received: {rows}.")
        targets = {name: np.asarray(values, "float32") for name, values in targets.items()}
        if self.sampling_frequency is None and self.sampling_probability is not None:
            values = targets[self.sampling_probability]
            _check_numbers(self.sampling_probability, values, (values > 0) & (values <= 1), "a probability in (0, 1]")
        return columns, targets

    def _checked_weight(self, weight: Any) -> Any:
        """Weights of the rows; of weights by task, those of the positives' task."""
        if isinstance(weight, Mapping):
            weight = weight.get(self.positive)
        if weight is not None and on_host(weight):
            weight = np.asarray(weight, "float32").reshape(-1)
            inside = np.isfinite(weight) & (weight >= 0)
            _check_numbers("sample_weight", weight, inside, "a finite number, not negative")
        return weight


def _check_numbers(name: str, values: np.ndarray, inside: np.ndarray, expected: str) -> None:
    wrong = np.flatnonzero(~inside)
    if wrong.size:
        raise ValueError(
            f"`{name}`, row {wrong[0]}: expected {expected}. Received: {values.reshape(-1)[wrong[0]]:g}; "
            f"{wrong.size} of {values.size} rows are wrong."
        )
