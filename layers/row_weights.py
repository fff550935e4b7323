"""Which rows count, and means over them."""

from typing import Any

from keras import ops


def row_weight(mask: Any, sample_weight: Any) -> Any:
    """Weight of each row, float32 of shape `(rows,)`, from a mask and weights of any leading axes; `None` for all 1."""
    weight = None
    if mask is not None:
        weight = ops.cast(ops.reshape(mask, (-1,)), "float32")
    if sample_weight is not None:
        rows = ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
        weight = rows if weight is None else weight * rows
    return weight


def squared_norm(vectors: Any, weight: Any) -> Any:
    """Weighted mean over rows of the squared Euclidean norm; 0 where no row counts."""
    if weight is None:
        return ops.sum(ops.square(vectors)) / ops.cast(ops.shape(vectors)[0], "float32")
    rows = ops.sum(ops.square(vectors), axis=-1)
    total = ops.sum(weight)
    # Rows that do not count may hold anything, and 0 · NaN is NaN.
    return ops.sum(ops.where(weight > 0, rows, 0.0) * weight) / ops.where(total > 0, total, 1.0)


def draw_rows(draws: Any, weight: Any, rows: Any) -> Any:
    """Row indices in proportion to the weights (`None`: uniform), from uniform draws in `[0, 1)`."""
    if weight is None:
        index = ops.cast(draws * ops.cast(rows, "float32"), "int32")
    else:
        cumulative = ops.cumsum(weight)
        places = ops.searchsorted(cumulative, ops.reshape(draws, (-1,)) * cumulative[-1], side="right")
        index = ops.cast(ops.reshape(places, ops.shape(draws)), "int32")
    return ops.minimum(index, rows - 1)


def without_junk(x: Any, mask: Any, sample_weight: Any) -> Any:
    """The rows `(..., dim)`, zero where they do not count and are not finite: 0 · NaN in a gradient would be NaN."""
    for given in (mask, sample_weight):
        if given is not None:
            counted = ops.reshape(ops.cast(given, "float32"), (*ops.shape(x)[:-1], 1)) > 0
            x = ops.where(ops.logical_or(counted, ops.isfinite(x)), x, ops.zeros_like(x))
    return x
