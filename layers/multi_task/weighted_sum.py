"""The sum of experts by the weights of a gate."""

from typing import Any

from keras import ops


def weighted_sum(weights: Any, experts: Any) -> Any:
    """The experts of each row, summed with the row's weights: `(batch, width)`.

    Args:
        weights: `(batch, experts)`.
        experts: `(batch, experts, width)`.
    """
    return ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), experts), 1)
