"""How many parts JAX's `keras.distribution` cuts a batch into."""

import keras

from ...distribution import world_size


def data_shards() -> int:
    """Number of parts that the rows of a batch of this process are cut into: 1 without a distribution.

    Example:

    >>> data_shards()
    1
    """
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.batch_dim_name is None:
        return 1
    mesh = distribution.device_mesh
    shards = int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])
    return max(shards // world_size(), 1)


def check_shards(rows: int, batch_size: int | None = None) -> None:
    """Raise if the rows of a batch cannot be cut into equal parts: JAX says so only once weights are in its hands.

    Args:
        rows: number of rows of a batch, or of all of a table.
        batch_size: rows of each batch but the last, if `rows` are those of a table. Defaults to `None`.

    Raises:
        ValueError: if a batch, the last one of a table included, does not divide.

    Example:

    >>> check_shards(7)
    """
    shards = data_shards()
    sizes = [rows] if batch_size is None else [batch_size if rows > batch_size else 0, rows % batch_size]
    wrong = [size for size in sizes if size % shards]
    if wrong:
        raise ValueError(
            f"A batch of {wrong[0]} rows cannot be cut into {shards} equal parts, one for each device of "
            "keras.distribution. Choose a `batch_size` that the number of devices divides, and leave out the rows of a "
            "shorter last batch (slice the columns; `rows=slice(0, n)` of `PreparedTable.batches`, "
            "`drop_remainder=True` of `tf.data.Dataset.batch`)."
        )
