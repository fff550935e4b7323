"""The weighted sum or mean of a list."""

from typing import Any

import keras
from keras import ops

from ..embedding.pool import COMBINERS, pool


@keras.saving.register_keras_serializable(package="grouprank")
class WeightedPooling(keras.layers.Layer):
    """Adds up the vectors of a list, each times its weight.

    Use it for lists whose items matter to different degrees, such as interests with scores. It has no weights to train.

    Args:
        combiner: `"sum"` for Σ w·v, or `"mean"` for Σ w·v / Σ |w|. Defaults to `"mean"`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        vectors: vectors of the items.
        weights: weights of the items; an item of weight 0 does not count.
        mask: boolean `(batch, length)`, `False` where an item does not count; `None` if all do. Defaults to `None`.

    Input shape:
        `(batch, length, dim)`, the weights `(batch, length)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no item counts.

    Raises:
        ValueError: on an unknown `combiner`.

    Example:

    >>> import numpy as np
    >>> vectors = np.array([[[1.0], [3.0], [9.0]]], "float32")
    >>> mean = WeightedPooling()(vectors, np.array([[3.0, 1.0, 0.0]], "float32"))
    >>> float(mean[0, 0])
    1.5
    """

    def __init__(self, combiner: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if combiner not in COMBINERS:
            raise ValueError(f"`combiner` must be one of {COMBINERS}. Received: combiner={combiner!r}.")
        self.combiner = combiner
        self.supports_masking = True

    def call(self, vectors: Any, weights: Any, mask: Any = None) -> Any:
        """One vector for each list."""
        weights = ops.cast(weights, vectors.dtype)
        if mask is not None:
            weights = ops.where(ops.cast(mask, "bool"), weights, ops.zeros_like(weights))
        return pool(vectors, weights, self.combiner, axis=1)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """`None`, since the output has no items."""
        return None

    def compute_output_shape(self, vectors_shape: Any, weights_shape: Any = None) -> tuple[int | None, ...]:
        """`(batch, dim)`."""
        return (vectors_shape[0], vectors_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "combiner": self.combiner}
