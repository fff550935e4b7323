"""How often a row's own ad is among the best of its batch."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class InBatchRecall(keras.metrics.Mean):
    """Share of rows whose own ad is among the `k` best scores of the batch's ads.

    It shows whether training makes progress. It depends on the batch, in which an ad
    may be a candidate several times; `TwoTowerModel.evaluate_recall` measures the
    recall over a whole corpus. A score that ties with a row's own counts as a better
    one, so that a model which gives every ad the same score has recall 0.

    Args:
        k: number of best scores. Defaults to `10`.
        name: name of the metric. `None` takes `"in_batch_recall_at_{k}"`. Defaults to `None`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`.

    Call arguments:
        y_true: column of each row's own ad, integers `(batch,)`.
        y_pred: scores, `(batch, candidates)`.
        sample_weight: weights of the rows `(batch,)`, or `None`.

    Raises:
        ValueError: on a `k` below 1.

    Example:

    >>> import numpy as np
    >>> metric = InBatchRecall(k=1)
    >>> metric.update_state(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.3]]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, k: int = 10, name: str | None = None, dtype: str | keras.DTypePolicy | None = None) -> None:
        super().__init__(name=name or f"in_batch_recall_at_{k}", dtype=dtype)
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"`k` must be a positive integer. Received: k={k!r}.")
        self.k = k

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of rows."""
        scores = ops.convert_to_tensor(y_pred)
        columns = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
        own = ops.take_along_axis(scores, columns, axis=1)
        # "Not below" counts the own score, ties, and all of a row of NaN.
        not_below = ops.sum(ops.cast(ops.logical_not(scores < own), "int32"), axis=1)
        super().update_state(ops.cast(not_below <= self.k, "float32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "k": self.k}
