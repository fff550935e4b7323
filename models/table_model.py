"""What every prebuilt model is: named columns of a table in, and one loss that says how well its tasks are done."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops


class TableModel(keras.Model):
    """Base of the prebuilt models, which take the columns of a schema.

    `loss` is what the tasks lose, in training as in validation, so that it can be compared between models. Whatever
    else steers training (groups, residual learning, regularizers) has its gradients, and a metric of its own that
    `fit` prints: the layers of `group_concats` as `NAME_loss`, the mean of what such a layer adds, and all that other
    layers add as `regularization_loss`.

    A subclass builds the functional graph, sets `group_concats` and calls `_show_losses` at the end of `__init__`.

    Example:

    See `CTRModel` and `TwoTowerModel`.
    """

    group_concats: Mapping[str, Any]

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
        """The graph's outputs; while training, the losses of its layers by the names of their metrics too."""
        outputs = super().call(inputs, training=training, mask=mask)
        return {**outputs, **self._losses_of_layers()} if training else outputs

    def _losses_of_layers(self) -> dict[str, Any]:
        # As outputs, since on JAX `compute_loss` sees the losses of all layers in one list.
        by_layer = {f"{layer.name}_loss": layer.losses for layer in self.group_concats.values()}
        found = {name: sum(losses) / len(losses) for name, losses in by_layer.items() if losses}
        if "regularization_loss" in self._steering_losses:
            of_groups = {id(loss) for losses in by_layer.values() for loss in losses}
            found["regularization_loss"] = sum(loss for loss in self.losses if id(loss) not in of_groups)
        return found

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

    def _of_step(self, metrics: Mapping[str, Any], y_pred: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics without those of losses that a step does not have: in validation none of them steers."""
        absent = {metric.name for output, metric in self._steering_losses.items() if output not in y_pred}
        return {name: value for name, value in metrics.items() if name not in absent}
