"""What every prebuilt model does with its tasks: metrics, missing labels, checks, probabilities."""

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from ..layers import FusedEmbedding
from ..layers.replicas import refuse_replicas
from ..metrics import Calibration, NormalizedEntropy
from ..schema import Schema
from .batch_check import BatchCheck, as_host_array
from .class_weights import class_weights
from .data_shards import check_shards
from .frame_columns import frame_columns, is_frame
from .loss_watch import LossWatch
from .preset_registry import get_preset
from .refuse_cloning import refuse_cloning
from .sample_spaces import conditional_label
from .table_model import TableModel
from .weights_survive import weights_survive


class RankingModel(TableModel):
    """Base of models that map named columns to a logit per task of a schema.

    A subclass builds the functional graph in `__init__`, sets `schema`, and
    implements `compute_loss`, see `TableModel`. While training its graph may have outputs beside
    the tasks'; outside of training they are left out.

    Example:

    See `CTRModel`.
    """

    schema: Schema

    @classmethod
    def from_preset(cls, preset: str, schema: Schema, **arguments: Any) -> Self:
        """A model as a preset describes it, untrained.

        Args:
            preset: one of `grouprank.models.presets()`.
            schema: the table's features and tasks.
            **arguments: constructor arguments that take precedence over the preset's.

        Raises:
            ValueError: on an unknown preset, or one for another kind of model.
        """
        found = get_preset(preset)
        if found.model not in (kind.__name__ for kind in cls.__mro__):
            raise ValueError(f"Preset {preset!r} is one of a {found.model}: use {found.model}.from_preset({preset!r}).")
        return cls(schema, **{**found.arguments, **arguments})

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

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configure training.

        Args:
            optimizer: Keras optimizer or its name. `None` takes Adam at 0.001.
            loss: must be `None`; the loss is built in.
            metrics: dict of lists of metrics by task, on probabilities' logits.
                `None` takes cross entropy (shown as `TASK_loss`), normalized entropy, AUC
                and calibration for every task.
                They are always weighted, since rows without a label have weight 0.
            weighted_metrics: as `metrics`.
            **kwargs: further arguments of `keras.Model.compile`.
        """
        if loss is not None:
            raise ValueError(
                f"{type(self).__name__} has its own loss; leave `loss` out. Received: loss={loss!r}. "
                "Use `task_weights` and `residual_learning` to shape it, or override `compute_loss`."
            )
        if metrics is not None and weighted_metrics is not None:
            raise ValueError("Pass either `metrics` or `weighted_metrics`; here they mean the same.")
        given = metrics if metrics is not None else weighted_metrics
        for layer in self._flatten_layers():
            if isinstance(layer, FusedEmbedding):
                # Here too: an error while Keras traces a step on JAX leaves the model unusable.
                layer.check_optimizer(optimizer)
        super().compile(
            optimizer=optimizer if optimizer is not None else keras.optimizers.Adam(1e-3),
            weighted_metrics=given if given is not None else self._default_metrics(),
            **kwargs,
        )

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

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics of each prediction over the rows whose label is known."""
        labels, weights = {}, {}
        for name, given_label in self.labels(y).items():
            label = ops.reshape(ops.cast(given_label, "float32"), (-1, 1))
            observed = ops.logical_not(ops.isnan(label))
            weight = ops.cast(observed, "float32")
            given = sample_weight[self._task_of(name)] if isinstance(sample_weight, Mapping) else sample_weight
            if given is not None:
                weight = weight * ops.reshape(ops.cast(given, "float32"), (-1, 1))
            labels[name], weights[name] = ops.where(observed, label, 0.0), weight
        return self._of_step(super().compute_metrics(x, labels, self._of_tasks(y_pred), weights), y_pred)

    def _task_of(self, prediction: str) -> str:
        """The task whose sample weights a prediction takes."""
        return prediction

    def _run_through_graph(self, inputs: Any, **kwargs: Any) -> Any:
        refuse_cloning(self, kwargs)
        return super()._run_through_graph(inputs, **kwargs)

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

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        check: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Train as `keras.Model.fit` does, on data that is compared with the schema.

        Columns given as arrays, as tensors or as a data frame are compared before anything is trained, the batches of
        a loader one by one when they are read. A loss that becomes NaN or infinite raises.

        Args:
            x: columns by feature name, a data frame, or a loader of batches.
            y: labels by task, NaN where unobserved; a data frame; or the labels of the one task. Not with a loader.
            batch_size: rows a batch, for columns.
            epochs: number of epochs. Defaults to `1`.
            check: whether the batches of loaders are checked; columns always are. Defaults to `True`.
            **kwargs: further arguments of `keras.Model.fit`. `class_weight` is for one task, given as columns.

        Raises:
            ValueError: if data disagrees with the schema; names column, row and remedy.
            FloatingPointError: if the loss becomes NaN or infinite.
            RuntimeError: if training would run in several replicas, which gives wrong gradients.
        """
        self._refuse_replicas("fit")
        watch = self._batch_check()
        x, y = self._checked(x, y, watch)
        kwargs["sample_weight"] = _checked_weight(y, kwargs.get("sample_weight"))
        if kwargs.get("class_weight") is not None:
            kwargs["sample_weight"] = class_weights(
                kwargs.pop("class_weight"), self.schema.task_names, y, kwargs["sample_weight"]
            )
        validation = kwargs.get("validation_data")
        self.schema.check_loader(validation)
        validation_watch = self._batch_check()
        if isinstance(validation, tuple | list):
            columns, labels, weight = keras.utils.unpack_x_y_sample_weight(validation)
            columns, labels = self._checked(columns, labels, validation_watch)
            kwargs["validation_data"] = (columns, labels, _checked_weight(labels, weight))
        elif check:
            kwargs["validation_data"] = validation_watch(validation)
        callbacks = kwargs.get("callbacks")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            loss_watch = LossWatch(self.prediction_names, lambda: watch.unlabelled)
            kwargs["callbacks"] = [*keras.tree.flatten(callbacks or []), loss_watch]
        self._check_shards(x, batch_size)
        with weights_survive(self), watch, validation_watch:
            self._before_training(x, y, kwargs["sample_weight"])
            return super().fit(watch(x) if check else x, y, batch_size, epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, check: bool = True, **kwargs: Any
    ) -> Any:
        """Evaluate as `keras.Model.evaluate` does, checked like `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):
            # Called by `fit`, which has checked the validation data.
            with weights_survive(self):
                return super().evaluate(x, y, batch_size, **kwargs)
        watch = self._batch_check()
        x, y = self._checked(x, y, watch)
        kwargs["sample_weight"] = _checked_weight(y, kwargs.get("sample_weight"))
        self._check_shards(x, batch_size)
        with weights_survive(self), watch:
            return super().evaluate(watch(x) if check else x, y, batch_size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, check: bool = True, **kwargs: Any) -> Any:
        """Logits by task as NumPy arrays `(rows, 1)`, checked like `fit`."""
        watch = self._batch_check(labels=False)
        x, _ = self._checked(x)
        self._check_shards(x, batch_size)
        with weights_survive(self), watch:
            return super().predict(watch(x) if check else x, batch_size, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step, as `keras.Model.train_on_batch`; nothing is checked but that there is one replica."""
        self._refuse_replicas("train_on_batch")
        return super().train_on_batch(*args, **kwargs)

    def _refuse_replicas(self, method: str) -> None:
        """Raise if a training step would run in several replicas."""
        refuse_replicas(
            f"{type(self).__name__}.{method}",
            "Gradients would be of the wrong length or not shared, and codebooks would drift apart.",
            getattr(self, "distribute_strategy", None),
        )

    def _check_shards(self, x: Any, batch_size: int | None) -> None:
        if isinstance(x, Mapping):
            check_shards(len(x[self.schema.feature_names[0]]), batch_size or 32)

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
            _checked_weight(y, weight)

    def predict_proba(
        self, x: Any, batch_size: int | None = None, verbose: Any = 0, check: bool = True
    ) -> dict[str, np.ndarray]:
        """Probabilities by task, float32 of shape `(rows,)`, for columns or a loader; checked like `fit`."""
        logits = self.predict(x, batch_size, check, verbose=verbose)
        return {name: probabilities_of(logits[name].reshape(-1)) for name in self.prediction_names}

    def logits_model(self) -> keras.Model:
        """The part that inference needs, of the same weights: no residual heads, no teacher, no optimizer."""
        return keras.Model(self.input, self._of_tasks(self.output))

    def _checked(self, x: Any, y: Any = None, watch: BatchCheck | None = None) -> tuple[Any, Any]:
        """Columns compared with the schema; those on the host as arrays, without those it does not list.

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

    def _probability_columns(self) -> tuple[str, ...]:
        """The target columns in `[0, 1]` that are no task's label."""
        return ()

    def _before_training(self, x: Any, y: Any, sample_weight: Any) -> None:
        """What a model takes from the training rows before its first step."""

    def _check_more_targets(self, targets: Mapping[str, Any]) -> None:
        """Check the target columns on the host that are no task's label."""


def _on_host(values: Any) -> bool:
    # Columns of polars and pandas are arrays by `__array__`; so are some backends' tensors, which are left alone.
    return isinstance(values, list | tuple) or (hasattr(values, "__array__") and not ops.is_tensor(values))


def _checked_weight(y: Any, weight: Any) -> Any:
    """Sample weights as Keras wants them: one for every target; those of targets left out are 1."""
    named = isinstance(weight, Mapping)
    for name, values in weight.items() if named else [(None, weight)]:
        if named and isinstance(y, Mapping) and name not in y:
            raise ValueError(f"`sample_weight` names an unknown target {name!r}. Targets: {sorted(y)}.")
        if values is not None and _on_host(values):
            column = np.asarray(values, "float64").reshape(-1)
            wrong = np.flatnonzero(~(np.isfinite(column) & (column >= 0)))
            if wrong.size:
                raise ValueError(
                    f"`sample_weight`{f' of {name!r}' if named else ''}, row {wrong[0]}: expected a finite number, "
                    f"not negative. Received: {column[wrong[0]]:g}; {wrong.size} of {column.size} rows are wrong."
                )
    if not named or not isinstance(y, Mapping):
        return np.asarray(weight, "float32") if not named and weight is not None and _on_host(weight) else weight
    rows = len(next(iter(y.values())))
    return {name: weight.get(name, np.ones(rows, "float32")) for name in y}


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Sigmoid, split by sign so that no logit overflows the exponential."""
    decayed = np.exp(-np.abs(logits))
    return (np.where(logits >= 0, 1.0, decayed) / (1.0 + decayed)).astype("float32")
