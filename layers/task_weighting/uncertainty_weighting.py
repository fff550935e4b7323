"""Task losses weighted by a learned uncertainty of each task."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from .task_weighting import TaskWeighting


@keras.saving.register_keras_serializable(package="grouprank")
class UncertaintyWeighting(TaskWeighting):
    """Learns how much each task's loss counts from how large it stays.

    The paper scales a task's logits by a learned temperature `σ²`; with
    `s = log σ²` its form for classification is

        Σ_t exp(−s_t)·L_t + s_t / 2.

    `s` starts at 0 and is trained by the model's optimizer. For a loss that stays
    at `L` it ends at `log(2·L)`, where the task contributes the same gradient,
    relative to its loss, as every other: a weight of `1 / (2·L)`. So a rare
    outcome, whose cross entropy is small, gets a large weight. Weight decay, if the
    optimizer has any, pulls `s` towards 0.

    The training loss can be negative and cannot be compared between models; the
    validation loss can, since there the weights are the fixed ones. A loss of
    exactly 0 (a batch in which no label of the task is known) says nothing about
    its uncertainty and leaves `s` alone.

    Args:
        task_names: names of the tasks.
        task_weights: fixed factor of each task's part of the sum; it moves no
            `s`. Tasks left out weigh 1. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        representations: dict of representations by task name, returned as they are.
        training: has no effect.

    Input shape:
        A dict of `(batch, width)` by task name.

    Output shape:
        The input's.

    Raises:
        ValueError: see `TaskWeighting`.

    Example:

    >>> import keras, numpy as np
    >>> weighting = UncertaintyWeighting(["click", "like"])
    >>> h = weighting({"click": np.ones((4, 8), "float32"), "like": np.ones((4, 8), "float32")})
    >>> float(keras.ops.convert_to_numpy(weighting.combine({"click": 0.5, "like": 0.25})))
    0.75

    Reference:
        Kendall et al., *Multi-Task Learning Using Uncertainty to Weigh Losses for
        Scene Geometry and Semantics*, [arXiv:1705.07115](https://arxiv.org/abs/1705.07115), §3.
    """

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create the log variances."""
        self.log_variances = self.add_weight(
            name="log_variances", shape=(len(self.task_names),), initializer="zeros", dtype="float32", autocast=False
        )
        super().build(input_shape)

    def training_loss(self, losses: Mapping[str, Any]) -> Any:
        """Sum over tasks, each by its uncertainty."""
        values = self.stacked(losses)
        weighted = ops.exp(-self.log_variances) * values + 0.5 * self.log_variances
        return ops.sum(ops.multiply(self._factors, ops.where(ops.equal(values, 0.0), 0.0, weighted)))
