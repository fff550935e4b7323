"""Several vectors as one."""

from typing import Any

from keras import ops

COMBINERS = ("mean", "sum")


def pool(vectors: Any, weights: Any, combiner: str, axis: int) -> Any:
    """Weighted sum or mean of vectors.

    `"sum"` is `Σ wᵢ · vᵢ`, `"mean"` divides it by `Σ |wᵢ|`, as `tf.nn.embedding_lookup_sparse` does for weights that
    are not negative. Where all weights are 0 the result is 0.

    Args:
        vectors: tensor with the vectors' components on its last axis.
        weights: the shape of `vectors` without that axis; 0 for what does not count.
        combiner: `"mean"` or `"sum"`.
        axis: axis of `weights` over which to add up.

    Example:

    >>> vectors = ops.convert_to_tensor([[[1.0], [4.0]], [[1.0], [4.0]]])
    >>> weights = ops.convert_to_tensor([[1.0, 2.0], [0.0, 0.0]])
    >>> ops.convert_to_numpy(pool(vectors, weights, "mean", axis=1)).tolist()
    [[3.0], [0.0]]
    """
    weights = ops.expand_dims(ops.cast(weights, vectors.dtype), -1)
    total = ops.sum(vectors * weights, axis=axis)
    if combiner == "sum":
        return total
    divisor = ops.sum(ops.abs(weights), axis=axis)
    return total / ops.where(divisor == 0, ops.ones_like(divisor), divisor)
