"""Initial values of large tables."""

from collections.abc import Iterator
from typing import Any

import keras

from ..reseeded import reseeded
from .row_tables import fill

BLOCK_ROWS = 65_536


class BlockwiseInitializer(keras.initializers.Initializer):
    """Calls an initializer for blocks of rows and writes them into one array.

    Random initializers of Keras need several times the memory of what they
    return; a table may fill most of a machine. The block of rows from `n · 65536`
    on is drawn with seed `seed + n`, and initializers that scale with a shape see
    that of a block.

    Args:
        initializer: a Keras initializer.

    Call arguments:
        shape: `(rows, width)`.
        dtype: dtype of the result.

    Example:

    >>> values = BlockwiseInitializer(keras.initializers.Ones())((100_000, 2), dtype="float32")
    >>> tuple(values.shape)
    (100000, 2)
    """

    def __init__(self, initializer: keras.initializers.Initializer) -> None:
        self.initializer = initializer

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The initial values."""
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        return fill(tuple(shape), dtype, self.blocks(shape, dtype))

    def blocks(self, shape: tuple[int, ...], dtype: Any) -> Iterator[tuple[int, Any]]:
        """Each block with the number of its first row."""
        rows, *width = shape
        for number, start in enumerate(range(0, rows, BLOCK_ROWS)):
            initializer = reseeded(self.initializer, number)
            yield start, initializer((min(BLOCK_ROWS, rows - start), *width), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"initializer": keras.initializers.serialize(self.initializer)}
