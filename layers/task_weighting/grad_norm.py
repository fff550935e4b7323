"""Brings the gradients of the tasks to one size where they meet."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...distribution import replicas
from .task_weighting import TaskWeighting


@keras.saving.register_keras_serializable(package="grouprank")
class GradNorm(TaskWeighting):
    """Weighs the tasks so that their gradients have comparable norms below the towers.

    A task with large gradients decides what the shared layers learn. GradNorm
    gives each task a weight `w_t` and trains it so that the norm `w_t·n_t` of its
    gradient meets a target, the mean of all norms times `r_t^α`, where `r_t` is how
    slowly the task's loss has fallen relative to the others.

    How it is done here, and where it differs from the paper:

    - The norm `n_t` is that of the gradient at the task's representation, where the
      layer stands, for the whole batch. The paper takes the gradient by the weights of
      the last shared layer, at the price of a backward pass for each task; here there
      is one for all. That gradient is this one times the layer's inputs: the two norms
      go together but are not equal. A loss that reaches several representations (the
      product of ESMM) counts at each of them.
    - The weights act on everything below this layer. Towers above it learn their own
      task with weight 1 (times the fixed one). In the paper they too are scaled.
    - `w = tasks · softmax(v)` keeps the sum of the weights; the paper normalizes them
      after each step. `v` starts at 0 and is trained by the model's own optimizer, by
      the derivative of `Σ |w_t·n_t − target_t|` with the target held constant. With an
      optimizer that does not normalize gradients (SGD) it moves as fast as these norms
      are large; weight decay pulls the weights back to 1.
    - `r_t` comes from the losses of the step before, since a layer has passed when
      its step's losses are known. A task's first loss is the first one above 0. A task
      without a gradient in a batch (no known label) is left out of the mean.

    Args:
        task_names: names of the tasks.
        alpha: strength with which slow tasks are favoured; 0 makes all norms
            equal. Defaults to `1.5`.
        task_weights: fixed factor of each task's loss, above 0; norms are balanced
            before it is applied. Tasks left out weigh 1. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        representations: dict of representations by task name, returned unchanged;
            in training their gradients are weighted on the way down.
        training: weigh gradients only if `True`.

    Input shape:
        A dict of `(batch, width)` by task name, of one width.

    Output shape:
        The input's.

    Raises:
        ValueError: on a negative `alpha`, a task weight of 0 (such a task has no
            gradient to balance: leave it out), representations of different widths,
            and as `TaskWeighting`.

    Example:

    >>> import numpy as np
    >>> weighting = GradNorm(["click", "like"])
    >>> h = weighting({"click": np.ones((4, 8), "float32"), "like": np.ones((4, 8), "float32")}, training=True)
    >>> float(weighting.combine({"click": 0.5, "like": 0.25}))
    0.75
    >>> {name: round(weight, 3) for name, weight in weighting.weights_by_task().items()}
    {'click': 1.0, 'like': 1.0}

    Reference:
        Chen et al., *GradNorm: Gradient Normalization for Adaptive Loss Balancing in
        Deep Multitask Networks*, [arXiv:1711.02257](https://arxiv.org/abs/1711.02257), eq. 1, 2.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        alpha: float = 1.5,
        task_weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, task_weights, **kwargs)
        if not alpha >= 0:
            raise ValueError(f"`alpha` must not be negative. Received: alpha={alpha}.")
        if not all(self._factors):
            raise ValueError(
                "`task_weights` must be above 0: a task of weight 0 has no gradient to balance. Leave it out of the "
                f"model instead. Received: {dict(self.task_weights)}."
            )
        self.alpha = alpha

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create the weights' logits and the memory of losses."""
        super().build(input_shape)
        widths = {name: tuple(shape)[1:] for name, shape in input_shape.items()}
        if len(set(widths.values())) > 1:
            raise ValueError(
                f"GradNorm compares representations of one width. Received widths {widths}; give the tasks' last "
                "layers below it the same number of units."
            )
        shape = (len(self.task_names),)
        self.weight_logits = self.add_weight(
            name="weight_logits", shape=shape, initializer="zeros", dtype="float32", autocast=False
        )
        self.first_losses, self.last_losses = (
            self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros",
                dtype="float32",
                autocast=False,
                trainable=False,
                aggregation="mean",
            )
            for name in ("first_losses", "last_losses")
        )

    def call(self, representations: Mapping[str, Any], training: bool | None = None) -> dict[str, Any]:
        """The representations; in training, gradients change on the way down."""
        if not training:
            return dict(representations)
        stacked = ops.stack([representations[name] for name in self.task_names])
        factors = ops.convert_to_tensor(self._factors, "float32")
        weigh = ops.custom_gradient(_weigh_gradients)
        stacked = weigh(stacked, self._weights(), self._targets(), factors)
        return dict(zip(self.task_names, ops.unstack(stacked, len(self.task_names)), strict=True))

    def training_loss(self, losses: Mapping[str, Any]) -> Any:
        """The sum with the fixed weights. The losses are remembered; gradients are weighted in `call`."""
        values = ops.stop_gradient(self.stacked(losses))
        known = ops.logical_and(values > 0, ops.isfinite(values))
        first, last = self._remembered()
        self.first_losses.assign(ops.where(ops.logical_and(known, first <= 0), values, first))
        self.last_losses.assign(ops.where(known, values, last))
        return self.fixed_sum(losses)

    def weights_by_task(self) -> dict[str, float]:
        """The learned weights as they are now; their mean is 1."""
        weights = ops.convert_to_numpy(self._weights())
        return dict(zip(self.task_names, weights.tolist(), strict=True))

    def _weights(self) -> Any:
        return len(self.task_names) * ops.softmax(ops.convert_to_tensor(self.weight_logits))

    def _targets(self) -> Any:
        """Each task's target norm in units of the mean norm, `r_t^α`; 1 before the first losses are known."""
        first, last = self._remembered()
        ratios = ops.where(first > 0, last / ops.where(first > 0, first, 1.0), 1.0)
        return ops.power(ratios / ops.mean(ratios), self.alpha)

    def _remembered(self) -> tuple[Any, Any]:
        return ops.convert_to_tensor(self.first_losses), ops.convert_to_tensor(self.last_losses)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha}


def _weigh_gradients(representations: Any, weights: Any, targets: Any, factors: Any) -> tuple[Any, Any]:
    """The identity on `(tasks, batch, width)`, with GradNorm's derivative by the weights."""

    def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, ...]:
        # TensorFlow and JAX pass the upstream gradient alone, torch the arguments and then it by name.
        upstream = arguments[0] if upstream is None else upstream
        squares = replicas.total(ops.sum(ops.square(ops.cast(upstream, "float32")), axis=(1, 2)))
        # Gradients are averaged over the copies of a step, so those of one copy's rows are as many times too large.
        norms = ops.sqrt(squares) / replicas.replica_count() / factors
        weighted = weights * norms
        present = ops.cast(norms > 0, "float32")
        mean = ops.sum(weighted) / ops.maximum(ops.sum(present), 1.0)
        by_weights = ops.sign(weighted - mean * targets) * norms
        by_representations = upstream * ops.cast(ops.reshape(weights, (-1, 1, 1)), upstream.dtype)
        return by_representations, by_weights, ops.zeros_like(targets), ops.zeros_like(factors)

    return representations, gradient
