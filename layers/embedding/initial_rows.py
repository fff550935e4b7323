"""Initial values for some rows of a table."""

import hashlib
from typing import Any

import numpy as np

from .blockwise_initializer import BLOCK_ROWS, BlockwiseInitializer


def initial_rows(
    initializer: Any, table: str, ids: np.ndarray, num_rows: int, width: int, dtype: Any, seed: int
) -> Any:
    """Draw initial values for rows that begin anew.

    They depend on the seed, the name of the table and the ids alone, so that another process draws the same ones, also
    where the initializer has no seed of its own. An initializer that scales with a shape sees that of the stack of
    tables, or of a block of it, as it did when the tables were made.

    Args:
        initializer: the table's initializer. One without a seed in its config gives what it always gives.
        table: name of the table.
        ids: the ids that begin anew, in ascending order.
        num_rows: rows of the stack that the table lies in.
        width: width of a row.
        dtype: dtype of the result.
        seed: seed of the draws.

    Returns:
        A tensor of shape `(number of ids, width)`.

    Example:

    >>> from keras import initializers, ops
    >>> arguments = ("ad_id", np.array([3, 7]), 9, 2, "float32")
    >>> one, other = (initial_rows(initializers.RandomNormal(), *arguments, seed=1) for _ in range(2))
    >>> tuple(one.shape), bool(ops.all(one == other))
    ((2, 2), True)
    """
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    if "seed" in config:
        said = f"{seed}\0{table}\0".encode() + ids.astype("<i8").tobytes()
        drawn = int.from_bytes(hashlib.sha256(said).digest()[:4], "little") >> 2
        initializer = type(initializer).from_config({**config, "seed": drawn})
    block = min(num_rows, BLOCK_ROWS)
    blocks = -(-len(ids) // block)
    return BlockwiseInitializer(initializer)((blocks * block, width), dtype)[: len(ids)]
