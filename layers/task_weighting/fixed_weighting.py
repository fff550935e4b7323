"""Task losses summed with fixed weights."""

from collections.abc import Mapping
from typing import Any

import keras

from .task_weighting import TaskWeighting


@keras.saving.register_keras_serializable(package="grouprank")
class FixedWeighting(TaskWeighting):
    """Sums the tasks' losses with weights that do not change.

    The plainest weighting, and a strong one if a few values have been tried.

    Args:
        task_names: names of the tasks.
        task_weights: factor of each task's loss; tasks left out weigh 1. Defaults to `None`.
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

    >>> weighting = FixedWeighting(["click", "like"], {"like": 4.0})
    >>> float(weighting.combine({"click": 0.5, "like": 0.25}))
    1.5
    """

    def training_loss(self, losses: Mapping[str, Any]) -> Any:
        """The weighted sum."""
        return self.fixed_sum(losses)
