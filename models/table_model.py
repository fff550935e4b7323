"""The base of the prebuilt models, which train and predict on the columns of a table."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import keras

from ..distribution import rank, replicas, synchronize, world_size
from ..distribution.one_writer import one_writer
from ..layers import EmbeddingCollection, FusedEmbedding, GradNorm, ResidualQuantizer, embedding_optimizers
from ..metrics import CodebookHealth
from ..schema import Categorical, Schema
from ..schema import Sequence as SequenceOfIds
from .checks.batch_check import BatchCheck
from .checks.data_shards import data_shards
from .checks.dealt_rows import DealtRows, check_dealing, has_dealt_rows, predictions, split_rows
from .checks.draws_of_start import DrawsOfStart
from .checks.loss_watch import LossWatch
from .checks.refuse_cloning import refuse_cloning
from .checks.share_files import share_files
from .checks.weights_survive import weights_survive
from .preset_registry import get_preset
from .save_on_disk import save_on_disk
from .state_tree import take_tables, tree_in_order
from .steered_model import SteeredModel
from .without_optimizers import without_optimizers

# What a replica of `tf.distribute` would learn of its own part of the batch.
_ALONE = (ResidualQuantizer, FusedEmbedding, GradNorm, keras.layers.BatchNormalization)


class TableModel(SteeredModel):
    """Base of the prebuilt models, which take the columns of a schema: compiling, and checked data.

    `SteeredModel` says what its losses are, and which of them `fit` prints.

    A subclass builds the functional graph in `__init__`, sets `schema`, calls `_show_losses` at the end, and implements
    `compute_loss` and what raises `NotImplementedError` here.

    Example:

    See `CTRModel` and `TwoTowerModel`.
    """

    # Whether the processes of torch have the weights of the first one.
    _synchronized = False

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
        arguments = {**found.arguments, **arguments}
        if isinstance(arguments.get("embedding_optimizer"), dict):
            arguments["embedding_optimizer"] = embedding_optimizers.get(arguments["embedding_optimizer"])
        return cls(schema, **arguments)

    def take_schema(self, schema: Schema) -> None:
        """Replace the schema by one that its weights fit as well; `grouprank.models.grow` looks whether they do.

        Args:
            schema: a schema of the same features and tasks, with other fingerprints of ids or more of them.
        """
        self.schema = schema
        sizes = {f.name: f.vocabulary_size for f in schema.features if isinstance(f, Categorical | SequenceOfIds)}
        for layer in self.layers:
            if isinstance(layer, EmbeddingCollection):
                layer.vocabulary_sizes.update({name: sizes[name] for name in layer.vocabulary_sizes})

    @property
    def table_stacks(self) -> list[Any]:
        """The stacks of the embedding tables, see `EmbeddingCollection`."""
        return [stack for layer in self.layers if isinstance(layer, EmbeddingCollection) for stack in layer.stacks]

    @property
    def dense_weights(self) -> list[keras.Variable]:
        """The weights that are not rows of embedding tables, in an order that is the same on every backend."""
        layers = self._flatten_layers()
        rows = {id(weight) for layer in layers if isinstance(layer, FusedEmbedding) for weight in layer.weights}
        rows |= {
            id(stack.variable) for layer in layers if isinstance(layer, TableModel) for stack in layer.table_stacks
        }
        return [weight for weight in self.weights if id(weight) not in rows]

    @property
    def counted_ids(self) -> dict[str, Any]:
        """Layers that keep a number for each id of a feature, by feature."""
        return {}

    # === What a subclass says; the base has no answer of its own ===

    @property
    def _watched(self) -> Sequence[str]:
        """Names that the metrics of predictions begin with."""
        raise NotImplementedError

    def _default_metrics(self) -> Any:
        """The metrics of a model that is compiled without any."""
        raise NotImplementedError

    def _batch_check(self, labels: bool = True) -> BatchCheck:
        """What the batches of a loader are compared with."""
        raise NotImplementedError

    def _checked(self, x: Any, y: Any, watch: BatchCheck | None = None) -> tuple[Any, Any]:
        """Columns and labels compared with the schema; loaders as they are, since their batches are checked later."""
        raise NotImplementedError

    def _checked_columns(self, x: Any) -> Any:
        """Columns alone, likewise."""
        raise NotImplementedError

    def _checked_weight(self, y: Any, weight: Any) -> Any:
        """Checked sample weights, as Keras wants them."""
        raise NotImplementedError

    def _class_weights(self, class_weight: Any, y: Any, sample_weight: Any) -> Any:
        """Sample weights that stand for a `class_weight`."""
        raise NotImplementedError

    def _before_training(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Set what a model takes from the training rows before its first step."""

    def _before_evaluation(self, x: Any) -> None:
        """Raise if figures of these rows would mislead."""

    # === Keras' methods ===

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer | None = None,
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configure training; the arguments stand in the order of `keras.Model.compile`.

        Args:
            optimizer: Keras optimizer or its name. `None` takes Adam at 0.001.
            loss: must be `None`; the loss is built in.
            loss_weights: must be `None`; a ranking model takes `task_weights` in its constructor.
            metrics: metrics of the predictions, which are always weighted. Of a ranking model a dict of lists by task,
                on probabilities' logits; `None` takes cross entropy (shown as `TASK_loss`), normalized entropy, AUC
                and calibration for every task. Of a retrieval model a list of metrics whose targets are the column of
                each row's own ad, whose predictions its scores, `(batch, batch)`, and whose weights the positives';
                `None` takes `grouprank.metrics.InBatchRecall` at 1 and 10.
            weighted_metrics: as `metrics`.
            **kwargs: further arguments of `keras.Model.compile`.
        """
        if loss is not None:
            raise ValueError(
                f"{type(self).__name__} has its own loss, so leave `loss` out. Received: loss={loss!r}. "
                "Shape it by the model's arguments, such as `task_weights` and `residual_learning`, or override "
                "`compute_loss`."
            )
        if loss_weights is not None:
            raise ValueError(
                f"{type(self).__name__} has its own loss, so leave `loss_weights` out. Received: "
                f"loss_weights={loss_weights!r}. Weigh the tasks of a ranking model by its `task_weights`."
            )
        if metrics is not None and weighted_metrics is not None:
            raise ValueError("Pass either `metrics` or `weighted_metrics`, not both. They mean the same here.")
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

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

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
        a loader one by one when they are read. A loss that becomes NaN or infinite raises. `sample_weight` weighs a
        row's losses and metrics; codebooks follow every row of a batch.

        With several devices of JAX's `keras.distribution`, the rows of the last batch that the devices cannot share
        are left out. In several processes of torch, `x` and `y` are the process' own rows and `batch_size` is per
        process; the model learns as it does in one process from the batches of all. Rows that a process has more than
        another one are left out. `docs/distribution.md` says more.

        Args:
            x: columns by feature name, a data frame, or a loader of batches.
            y: target columns by name, of which labels are NaN where unobserved; a data frame; or the labels of the
                one task. Not with a loader.
            batch_size: rows per batch, for columns. A retrieval model tells a positive apart from the other ads of its
                batch: large batches of shuffled rows make a better one.
            epochs: number of epochs. Defaults to `1`.
            check: whether the batches of loaders are checked; columns always are. Defaults to `True`.
            **kwargs: further arguments of `keras.Model.fit`. `class_weight` is for one task, given as columns.

        Raises:
            ValueError: if data disagrees with the schema; names column, row and remedy. If processes of torch would
                take different numbers of steps.
            FloatingPointError: if the loss becomes NaN or infinite.
            RuntimeError: if training would run in several replicas, which gives wrong gradients.
        """
        self._refuse_replicas("fit")
        method = f"{type(self).__name__}.fit"
        watch, validation_watch = self._batch_check(), self._batch_check()
        validation = kwargs.get("validation_data")
        with replicas.together(method):
            x, y = self._checked(x, y, watch)
            weight = self._checked_weight(y, kwargs.get("sample_weight"))
            if kwargs.get("class_weight") is not None:
                weight = self._class_weights(kwargs.pop("class_weight"), y, weight)
            share = kwargs.get("validation_split")
            if share and validation is None and isinstance(x, Mapping) and max(data_shards(), world_size()) > 1:
                (x, y, weight), validation = split_rows(x, y, weight, kwargs.pop("validation_split"))
            self.schema.check_loader(validation)
            self._before_evaluation(validation)
            columns, labels, their_weight = validation, None, None
            if isinstance(validation, tuple | list):
                columns, labels, their_weight = keras.utils.unpack_x_y_sample_weight(validation)
                columns, labels = self._checked(columns, labels, validation_watch)
                their_weight = self._checked_weight(labels, their_weight)
            check_dealing(method, x, train=True)
            check_dealing(method, validation)
        read = x
        x, y, weight = self._dealt(method, train=True)(x, y, weight, batch_size, kwargs.get("steps_per_epoch"), epochs)
        kwargs["sample_weight"] = weight
        if validation is not None:
            size = kwargs.get("validation_batch_size") or batch_size
            columns, labels, their_weight = self._dealt(f"The validation of {method}")(
                columns, labels, their_weight, size, kwargs.get("validation_steps")
            )
            if isinstance(validation, tuple | list):
                kwargs["validation_data"] = (columns, labels, their_weight)
            else:
                kwargs["validation_data"] = validation_watch(columns) if check else columns
        callbacks = kwargs.get("callbacks")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            health = [CodebookHealth()] if self.group_concats else []
            loss_watch = LossWatch(self._watched, lambda: watch.unlabelled)
            kwargs["callbacks"] = [*health, *share_files(keras.tree.flatten(callbacks or [])), loss_watch]
        synchronize(self)
        self._synchronized = True
        with weights_survive(self), watch, validation_watch:
            self._before_training(x if y is not None else read, y, weight)
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                kwargs["callbacks"].insert(0, DrawsOfStart())
            return super().fit(watch(x) if check else x, y, batch_size, epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, check: bool = True, **kwargs: Any
    ) -> Any:
        """Evaluate as `keras.Model.evaluate` does, checked like `fit`.

        Several processes of torch evaluate the rows of all of them, and each gets the figures of all rows. Where the
        last batch cannot be shared, copies of a row fill it up, whose labels are unknown.
        """
        if kwargs.get("_use_cached_eval_dataset"):
            # Called by `fit`, which has checked the validation data.
            with weights_survive(self):
                return super().evaluate(x, y, batch_size, **kwargs)
        self._refuse_replicas("evaluate")
        method = f"{type(self).__name__}.evaluate"
        watch = self._batch_check()
        with replicas.together(method):
            self._before_evaluation(x)
            x, y = self._checked(x, y, watch)
            weight = self._checked_weight(y, kwargs.get("sample_weight"))
            check_dealing(method, x)
        x, y, kwargs["sample_weight"] = self._dealt(method)(x, y, weight, batch_size, kwargs.get("steps"))
        with weights_survive(self), watch:
            return super().evaluate(watch(x) if check else x, y, batch_size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, check: bool = True, **kwargs: Any) -> Any:
        """Outputs by name as NumPy arrays, of columns or a loader, checked like `fit`.

        In several processes each predicts for the rows that it passes.
        """
        watch = self._batch_check(labels=False)
        x = self._checked_columns(x)
        of_keras = super().predict
        with weights_survive(self), watch:
            return predictions(self, lambda x: of_keras(watch(x) if check else x, batch_size, **kwargs), x, batch_size)

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        zipped: bool | None = None,
        include_optimizer: bool = True,
        **kwargs: Any,
    ) -> None:
        """Save as `keras.Model.save` does; of several processes the first one writes.

        All of them must save on JAX, and where rows of a table are dealt over them; elsewhere the others do nothing.

        Args:
            filepath: the file or folder.
            overwrite: see `keras.Model.save`. Defaults to `True`.
            zipped: see `keras.Model.save`. Defaults to `None`.
            include_optimizer: whether the file holds what training would go on with: the state of the optimizer of
                `compile` and the slots of fused tables, often twice as many bytes as the tables. Without them the
                loaded model predicts the same. Defaults to `True`.
            **kwargs: see `keras.Model.save`.
        """
        if not include_optimizer:
            with without_optimizers(self):
                self.save(filepath, overwrite, zipped, **kwargs)
            return
        if not self._is_saved_by_all():
            if rank() == 0:
                super().save(filepath, overwrite, zipped, **kwargs)
            return
        with one_writer(filepath) as path:
            if overwrite and zipped is not False and Path(path).suffix == ".keras" and "://" not in str(path):
                save_on_disk(lambda folder: super(TableModel, self).save(folder, zipped=False), path)
            else:
                super().save(path, overwrite, zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None) -> None:
        """Save as `keras.Model.save_weights` does; see `save`."""
        if self._is_saved_by_all():
            with one_writer(filepath) as path:
                super().save_weights(path, overwrite, max_shard_size)
        elif rank() == 0:
            super().save_weights(filepath, overwrite, max_shard_size)

    def _is_saved_by_all(self) -> bool:
        # Keras makes variables while it saves, which takes all processes of JAX.
        return has_dealt_rows(self) or (keras.backend.backend() == "jax" and world_size() > 1)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Load as `keras.Model.load_weights` does; also a folder of `OrbaxCheckpoint` from other devices."""
        distribution = keras.distribution.distribution()
        if keras.backend.backend() == "jax" and distribution is None and os.path.isdir(filepath):
            # Only under a distribution Keras loads arrays that were laid over devices that are not here.
            distribution = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:1])
        with distribution.scope() if distribution is not None else contextlib.nullcontext():
            super().load_weights(filepath, skip_mismatch, **kwargs)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, Any]:
        """The state as `keras.Model.get_state_tree` gives it, with fused tables in the order of their rows.

        `keras.callbacks.OrbaxCheckpoint` writes it. It fits any number of devices. Metrics are left out, since an
        epoch begins without them.
        """
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            # Keras lays what it loads over the devices as the variables lie that are there.
            optimizer.build(self.trainable_variables)
        return tree_in_order(self, value_format)

    def set_state_tree(self, state_tree: Mapping[str, Any]) -> None:
        """Take a state that `get_state_tree` of a model of the same arguments gave, on any devices.

        Raises:
            ValueError: if it holds weights that this model does not have. The weights then stay as they were.
        """
        super().set_state_tree(take_tables(self, state_tree))

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step, as `keras.Model.train_on_batch`; nothing is checked but how many replicas there are.

        The first of them lets processes of torch start from the same weights.
        """
        self._refuse_replicas("train_on_batch")
        if not self._synchronized:
            synchronize(self)
            self._synchronized = True
        return super().train_on_batch(*args, **kwargs)

    def _run_through_graph(self, inputs: Any, **kwargs: Any) -> Any:
        refuse_cloning(self, kwargs)
        return super()._run_through_graph(inputs, **kwargs)

    def _refuse_replicas(self, method: str) -> None:
        """Raise if a training step would run in several replicas that cannot act as one."""
        alone = [layer.name for layer in self._flatten_layers() if isinstance(layer, _ALONE) and layer.trainable]
        if alone:
            replicas.refuse_replicas(
                f"{type(self).__name__}.{method} with the layers {alone}",
                "What these layers learn of the batch by themselves would be of a part of it.",
                getattr(self, "distribute_strategy", None),
            )

    def _dealt(self, method: str, train: bool = False) -> DealtRows:
        """What makes rows ready for several devices or processes."""
        return DealtRows(method, self.schema.task_names, train)
