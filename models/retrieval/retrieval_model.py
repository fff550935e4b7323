"""How a retrieval model trains: positives, candidates of the batch, metrics, checks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ...layers import FusedEmbedding
from ...layers.replicas import refuse_replicas
from ...metrics import CodebookHealth
from ...schema import Schema, Task
from ..batch_check import BatchCheck, as_host_array
from ..data_shards import check_shards
from ..frame_columns import frame_columns
from ..loss_watch import LossWatch
from ..refuse_cloning import refuse_cloning
from ..table_model import TableModel
from ..weights_survive import weights_survive
from .in_batch_recall import InBatchRecall
from .in_batch_softmax import InBatchSoftmax
from .sampling_frequency import SamplingFrequency
from .side_columns import on_host, side_columns


class RetrievalModel(TableModel):
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
        """In-batch softmax over the positives; in training with the gradient of the layers' own losses too."""
        if hasattr(self, "distribute_strategy"):
            # TensorFlow's; nothing here divides the loss by the number of replicas, as Keras' own would.
            self._refuse_replicas("compute_loss")
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
        total = loss
        for added in self.losses:
            total = total + ops.sum(ops.cast(added, "float32"))
        parts = {name: y_pred[name] for name in self._steering_losses if name in y_pred}
        return self._steered(loss, total, x, parts)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics of the positives' scores, as they are served: without the correction that training needs."""
        scores = self.in_batch_softmax.scores(y_pred["user"], y_pred["ad"], x[self.ad_id])
        own = ops.arange(ops.shape(scores)[0])
        weight = self._positive_weight(self._targets(y), sample_weight)
        return self._of_step(super().compute_metrics(x, own, scores, weight), y_pred)

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

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        check: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Train as `keras.Model.fit` does, on data that is compared with the schema (see `RankingModel.fit`).

        A positive is told apart from the other ads of its batch: large batches of
        shuffled rows make a better model.

        Args:
            x: columns by feature name, a data frame, or a loader of batches.
            y: target columns by name, or the labels of the positives' task. Not with a loader.
            batch_size: rows a batch, for columns.
            epochs: number of epochs. Defaults to `1`.
            check: whether the batches of loaders are checked; columns always are. Defaults to `True`.
            **kwargs: further arguments of `keras.Model.fit`.

        Raises:
            ValueError: if data disagrees with the schema; names column, row and remedy.
            FloatingPointError: if the loss becomes NaN or infinite.
            RuntimeError: if training would run in several replicas.
        """
        self._refuse_replicas("fit")
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "A retrieval model learns from positives alone, whose `class_weight` would change nothing. Use "
                "`sample_weight` to weigh rows."
            )
        callbacks = kwargs.get("callbacks") or []
        watch, validation_watch = self._batch_check(), self._batch_check()
        if isinstance(callbacks, list | tuple):
            health = [CodebookHealth()] if self.group_concats else []
            kwargs["callbacks"] = [*health, *callbacks, LossWatch([self.positive], lambda: watch.unlabelled)]
        x, y = self._checked(x, y, watch)
        kwargs["sample_weight"] = self._checked_weight(kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        self.schema.check_loader(validation)
        if isinstance(validation, tuple | list):
            weights = (self._checked_weight(weight) for weight in validation[2:])
            kwargs["validation_data"] = (*self._checked(*validation[:2]), *weights)
        elif check:
            kwargs["validation_data"] = validation_watch(validation)
        self._check_shards(x, batch_size)
        with weights_survive(self), watch, validation_watch:
            return super().fit(watch(x) if check else x, y, batch_size, epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, check: bool = True, **kwargs: Any
    ) -> Any:
        """Loss and metrics within batches, as `keras.Model.evaluate`, checked like `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):
            # Called by `fit`, which has checked the validation data.
            with weights_survive(self):
                return super().evaluate(x, y, batch_size, **kwargs)
        watch = self._batch_check()
        x, y = self._checked(x, y)
        kwargs["sample_weight"] = self._checked_weight(kwargs.get("sample_weight"))
        self._check_shards(x, batch_size)
        with weights_survive(self), watch:
            return super().evaluate(watch(x) if check else x, y, batch_size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, check: bool = True, **kwargs: Any) -> Any:
        """`{"user": vectors, "ad": vectors}` of rows with the columns of both sides, checked like `fit`."""
        watch = self._batch_check(labels=False)
        x = self._checked_columns(x)
        self._check_shards(x, batch_size)
        with weights_survive(self), watch:
            return super().predict(watch(x) if check else x, batch_size, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step, as `keras.Model.train_on_batch`; nothing is checked but that there is one replica."""
        self._refuse_replicas("train_on_batch")
        return super().train_on_batch(*args, **kwargs)

    def _run_through_graph(self, inputs: Any, **kwargs: Any) -> Any:
        refuse_cloning(self, kwargs)
        return super()._run_through_graph(inputs, **kwargs)

    def _refuse_replicas(self, method: str) -> None:
        """Raise if a training step would run in several replicas."""
        refuse_replicas(
            f"{type(self).__name__}.{method}",
            "Gradients would be of the wrong length or not shared, and candidates those of a part of the batch.",
            getattr(self, "distribute_strategy", None),
        )

    def _check_shards(self, x: Any, batch_size: int | None) -> None:
        if isinstance(x, Mapping):
            check_shards(len(x[self.ad_id]), batch_size or 32)

    def _batch_check(self, labels: bool = True) -> BatchCheck:
        """What the batches of a loader are compared with."""
        schema = Schema([*self.user_schema.features, *self.ad_schema.features], [Task(self.positive)])

        def check(x: Any, y: Any, weight: Any) -> None:
            if x is not None:
                schema.check_batch(x, y)
            if y is not None:
                self._check_more(y)
                self._checked_weight(weight)

        column = self.sampling_probability if self.sampling_frequency is None else None
        return BatchCheck(schema, check, self._targets if labels else None, () if column is None else (column,))

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
