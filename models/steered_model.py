"""A model whose printed loss says how well it does its tasks, whatever else steers its training."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from ..schema import Schema


class SteeredModel(keras.Model):
    """Base of models that are trained by more than they are judged by.

    `loss` is what the tasks lose, in training as in validation, so that it can be compared between models. Whatever
    else steers training (groups, residual learning, regularizers) has its gradients, and a metric of its own that
    `fit` prints. That of a layer of `group_concats` is `NAME_loss`, the weighted mean of what it adds; all that other
    layers add is `regularization_loss`.

    A subclass sets `schema` and `group_concats`, calls `_show_losses` at the end of `__init__`, and makes its
    `compute_loss` of `_added_losses` and `_steered`.

    Example:

    See `CTRModel` and `TwoTowerModel`.
    """

    schema: Schema
    group_concats: Mapping[str, Any] = MappingProxyType({})
    _steering_losses: Mapping[str, keras.metrics.Mean] = MappingProxyType({})
    _evaluates = False

    def _show_losses(self, outputs: Iterable[str] = ()) -> None:
        """Make a metric for each loss that only steers training.

        Args:
            outputs: names of outputs that only training has and that a loss belongs to, such as `click/residual`, of
                which the metric is `click_residual_loss`. Those of layers need not be named. Defaults to `()`.
        """
        names = {f"{layer.name}_loss": f"{layer.name}_loss" for layer in self.group_concats.values()}
        names |= {output: f"{output.replace('/', '_')}_loss" for output in outputs}
        if any(variable.regularizer is not None for variable in self.trainable_variables):
            names["regularization_loss"] = "regularization_loss"
        self._steering_losses = {output: keras.metrics.Mean(name=name) for output, name in names.items()}

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        """The graph's outputs; while training, the losses of its layers by the names of their metrics too.

        Columns that the schema does not list are ignored.
        """
        outputs = super().call(self._listed(inputs), training=training, mask=self._listed(mask))
        return {**outputs, **self._losses_of_layers()} if training else outputs

    def _listed(self, columns: Any) -> Any:
        # A functional model would take a column that it does not know for another one's.
        if not isinstance(columns, Mapping):
            return columns
        return {f.name: columns[f.name] for f in self.schema.features if f.name in columns}

    def _losses_of_layers(self) -> dict[str, Any]:
        # As outputs, since on JAX `compute_loss` sees the losses of all layers in one list.
        layers = self.group_concats.values()
        by_layer = {f"{layer.name}_loss": layer.losses for layer in layers}
        weights = {f"{layer.name}_loss": layer.loss_weight for layer in layers}
        found = {name: sum(losses) / weights[name] for name, losses in by_layer.items() if losses}
        if "regularization_loss" in self._steering_losses:
            of_groups = {id(loss) for losses in by_layer.values() for loss in losses}
            found["regularization_loss"] = sum(loss for loss in self.losses if id(loss) not in of_groups)
        return {name: loss for name, loss in found.items() if name in self._steering_losses}

    def _added_losses(self, y_pred: Mapping[str, Any]) -> Any:
        """Sum of what all layers add in training.

        Args:
            y_pred: outputs of `call` in training.
        """
        if "regularization_loss" not in y_pred:
            return sum(ops.sum(ops.cast(loss, "float32")) for loss in self.losses)
        # Taken from the outputs: whoever asks for `losses` makes each regularizer read its whole table once more.
        groups = [layer for layer in self.group_concats.values() if f"{layer.name}_loss" in y_pred]
        return y_pred["regularization_loss"] + sum(g.loss_weight * y_pred[f"{g.name}_loss"] for g in groups)

    def _steered(self, loss: Any, total: Any, x: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
        """The loss of the tasks as a value, with the gradient of all that steers training.

        Args:
            loss: what the tasks lose.
            total: what training minimizes.
            x: columns.
            parts: values of the losses that only steer, by output.
        """
        rows = ops.shape(next(iter(x.values())))[0]
        for output, value in parts.items():
            self._steering_losses[output].update_state(value, sample_weight=rows)
        # Where the total is infinite, the difference is NaN, and training stops with an error.
        return ops.stop_gradient(loss) + (total - ops.stop_gradient(total))

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as `keras.Model.evaluate` does."""
        self._evaluates = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluates = False

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics as they are; in an evaluation without those of losses that only steer training."""
        results = super().get_metrics_result()
        # Keras compares the names with those of the last step. Only if they agree, it asks for the results of all rows
        # where replicas of `tf.distribute` have metrics of their own.
        steering = {metric.name for metric in self._steering_losses.values()} if self._evaluates else ()
        return {name: value for name, value in results.items() if name not in steering}

    def _of_step(self, metrics: Mapping[str, Any], y_pred: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics without those of losses that a step does not have: in validation none of them steers."""
        absent = {metric.name for output, metric in self._steering_losses.items() if output not in y_pred}
        return {name: value for name, value in metrics.items() if name not in absent}
