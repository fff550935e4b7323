"""The base of layers that weigh the losses of tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import checked_task_names


class TaskWeighting(keras.layers.Layer):
    """Base class of layers that combine the losses of several tasks into one.

    A weighting has two places in a model. As a layer it stands between the
    multi-task structure and the towers, `layer(representations)`: there it belongs
    to the model, so that its weights are trained and saved with it, and there it
    can see the gradients of the tasks. In the model's `compute_loss`,
    `combine(losses, training)` makes one number of the tasks' losses.

    Outside of training both do nothing of their own: representations pass
    unchanged, and losses are summed with the fixed `task_weights` alone, so that
    the `val_loss` of two models can be compared whatever weighs their tasks.

    To write your own, subclass this, implement `training_loss` (and `call`, if it
    acts on gradients), and register it with Keras.

    Args:
        task_names: names of the tasks.
        task_weights: fixed factor of each task's loss, on top of what the layer
            learns; tasks left out weigh 1. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        representations: dict of representations by task name.
        training: whether the model is training.

    Input shape:
        A dict of `(batch, width)` by task name.

    Output shape:
        The input's.

    Raises:
        ValueError: on task names that are not different strings, a weight of an
            unknown task or below 0, or representations of other tasks.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class WorstTask(TaskWeighting):
    ...     def training_loss(self, losses):
    ...         return keras.ops.max(self.stacked(losses))
    >>> float(WorstTask(["click", "like"]).combine({"click": 0.5, "like": 0.25}))
    0.5
    """

    def __init__(
        self, task_names: Sequence[str], task_weights: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.task_names = checked_task_names(task_names)
        self.task_weights = {name: float(weight) for name, weight in (task_weights or {}).items()}
        unknown = sorted(set(self.task_weights) - set(self.task_names))
        if unknown:
            raise ValueError(f"`task_weights` names unknown tasks {unknown}. Tasks: {list(self.task_names)}.")
        if any(not weight >= 0 for weight in self.task_weights.values()):
            raise ValueError(f"`task_weights` must not be negative. Received: {dict(self.task_weights)}.")
        self._factors = [self.task_weights.get(name, 1.0) for name in self.task_names]

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Check that there is a representation for each task."""
        if set(input_shape) != set(self.task_names):
            raise ValueError(
                f"{type(self).__name__} expects a representation for each of {list(self.task_names)}. "
                f"Received: {sorted(input_shape)}."
            )
        self.built = True

    def call(self, representations: Mapping[str, Any], training: bool | None = None) -> dict[str, Any]:
        """The representations as they are."""
        return dict(representations)

    def combine(self, losses: Mapping[str, Any], training: bool = True) -> Any:
        """One loss of all tasks, for a model's `compute_loss`.

        Args:
            losses: scalar loss by task name, averaged over rows.
            training: `False` sums with the fixed weights alone. Defaults to `True`.
        """
        if set(losses) != set(self.task_names):
            raise ValueError(
                f"{type(self).__name__} expects a loss for each of {list(self.task_names)}. Received: {sorted(losses)}."
            )
        return self.training_loss(losses) if training else self.fixed_sum(losses)

    def training_loss(self, losses: Mapping[str, Any]) -> Any:
        """The loss to train with."""
        raise NotImplementedError(f"{type(self).__name__} must implement `training_loss`.")

    def fixed_sum(self, losses: Mapping[str, Any]) -> Any:
        """Sum of the losses times the fixed weights."""
        return ops.sum(ops.multiply(self._factors, self.stacked(losses)))

    def stacked(self, losses: Mapping[str, Any]) -> Any:
        """The losses as one float32 vector, in the order of `task_names`."""
        return ops.stack([ops.cast(losses[name], "float32") for name in self.task_names])

    def compute_output_shape(
        self, input_shape: Mapping[str, tuple[int | None, ...]]
    ) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return dict(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "task_names": list(self.task_names),
            "task_weights": dict(self.task_weights) or None,
        }
