"""Which rows count, and means over them."""

from typing import Any

from keras import ops

from ..distribution import rank, replicas


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
        return replicas.ratio(ops.sum(ops.square(vectors)), ops.cast(ops.shape(vectors)[0], "float32"))
    rows = ops.sum(ops.square(vectors), axis=-1)
    # Rows that do not count may hold anything, and 0 · NaN is NaN.
    return replicas.ratio(ops.sum(ops.where(weight > 0, rows, 0.0) * weight), ops.sum(weight))


def draw_rows(draws: Any, weight: Any, rows: Any) -> tuple[Any, Any]:
    """Draw rows of the batch in proportion to their weights, from uniform draws in `[0, 1)`.

    The batch is that of all processes, in the order of their ranks.

    Args:
        draws: the same numbers in every process, of any shape.
        weight: weights of this process' rows; `None` if all weigh the same.
        rows: number of this process' rows.

    Returns:
        Row indices, and whether the row is this process', both shaped as `draws`. Other processes' rows have any index.
    """
    ends = ops.cumsum(replicas.gather(ops.cast(rows, "int32") if weight is None else ops.sum(weight)))
    places = draws * ops.cast(ends[-1], "float32")
    if weight is None:
        places = ops.minimum(ops.cast(places, "int32"), ends[-1] - 1)
    mine: Any = True
    if replicas.replica_count() > 1:
        # The number of the first process whose rows end behind the place; rounding may put it at the very end.
        owner = ops.sum(ops.cast(ops.expand_dims(places, -1) >= ends[:-1], "int32"), axis=-1)
        mine = owner == rank()
        places = places - (ends[rank() - 1] if rank() else 0)
    if weight is not None:
        found = ops.searchsorted(ops.cumsum(weight), ops.reshape(places, (-1,)), side="right")
        places = ops.cast(ops.reshape(found, ops.shape(draws)), "int32")
    return ops.minimum(ops.maximum(places, 0), rows - 1), mine


def without_junk(x: Any, mask: Any, sample_weight: Any) -> Any:
    """The rows `(..., dim)`, zero where they do not count and are not finite: 0 · NaN in a gradient would be NaN."""
    for given in (mask, sample_weight):
        if given is not None:
            counted = ops.reshape(ops.cast(given, "float32"), (*ops.shape(x)[:-1], 1)) > 0
            x = ops.where(ops.logical_or(counted, ops.isfinite(x)), x, ops.zeros_like(x))
    return x
