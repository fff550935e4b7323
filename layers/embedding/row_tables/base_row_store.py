"""What the stores of all backends have in common."""

import abc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

# (rows, gradient, slots, iteration, numbers of the rows) -> new rows, new slots; see `RowOptimizer.update`
Update = Callable[..., tuple[Any, dict[str, Any]]]
# Rows of a table that are read from several devices, or written, together.
BLOCK_ROWS = 2**20


class BaseRowStore(abc.ABC):
    """Rows and their optimizer's slots on one device: `gather` reads rows, `update` trains them.

    To sum the gradients of repeats, every position of a batch writes its number
    into `claims[row]`; whichever number stands there afterwards names the position
    where that row's gradients are added up. This costs one write and one read per
    position and no sort, and needs no cleaning: each step reads only what it wrote.

    Row number `num_rows` means "no row": it reads as zeros and trains nothing.

    A plain object: Keras and TensorFlow count and export what hangs on a layer, and
    of this only the table belongs there (see each backend for what it adds).

    Args:
        layer: layer that gets the weights.
        num_rows: rows of the table.
        width: width of a row.
        initializer: initializer of the table.
        dtype: dtype of the table.
        slots: slot name to width and initializer.
    """

    # Number of parts that the rows are dealt into, each on a device or in a process of its own.
    num_shards = 1

    def __init__(
        self,
        layer: keras.layers.Layer,
        num_rows: int,
        width: int,
        initializer: Any,
        dtype: str,
        slots: Mapping[str, tuple[int, Any]],
    ) -> None:
        self.num_rows = num_rows
        self.embeddings = self._add_table(layer, (num_rows, width), initializer, dtype)
        self.slots = {name: self._add_slot(layer, name, (num_rows, w), value) for name, (w, value) in slots.items()}
        # A number of float32, since on JAX it comes out of the backward pass; it counts to 16 million.
        self.iterations: Any = self._add_slot(layer, "iterations", (), "zeros")
        self.claims: Any = self._add_claims(layer, (num_rows + 1,))

    @abc.abstractmethod
    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        """Make the table, a weight of the layer."""

    @abc.abstractmethod
    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        """Make a slot, or another number that only training needs."""

    @abc.abstractmethod
    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        """Make the claims."""

    @abc.abstractmethod
    def gather(self, rows: Any, masked: bool) -> Any:
        """Rows as float32 `(positions, width)`; `masked` says that some may be `num_rows`."""

    @abc.abstractmethod
    def write(self, variable: keras.Variable, rows: Any, values: Any) -> None:
        """Overwrite rows of the table or a slot, each of them once, without a copy of the others.

        Args:
            variable: the table or a slot.
            rows: their numbers in the table.
            values: what to write, `(number of rows, width)`.
        """

    def read(self, variable: keras.Variable, rows: Any) -> Any:
        """Rows of the table or a slot as they are kept, `(number of rows, width)`.

        Args:
            variable: the table or a slot.
            rows: int32 numbers in the table.
        """
        return ops.take(variable, rows, axis=0)

    def blocks(self, name: str, variable: keras.Variable) -> Iterator[tuple[str, Any]]:
        """What a file keeps of a variable, as pairs of a key and a value; `take_block` reads them.

        Args:
            name: name of the variable.
            variable: the table, a slot or another number of the layer.
        """
        yield name, variable

    def take_block(self, variable: keras.Variable, key: str, value: Any) -> None:
        """Read what `blocks` of this store, or of one on other devices, wrote.

        Args:
            variable: the table, a slot or another number of the layer.
            key: name of the variable, with `.` and the number of the first row if the value is a block of its rows.
            value: array.
        """
        first = key.partition(".")[2]
        if not first:
            variable.assign(value)
        else:
            rows = ops.arange(int(first), int(first) + len(value), dtype="int32")
            self.write(variable, rows, ops.convert_to_tensor(value, dtype=variable.dtype))

    def in_order(self, variable: keras.Variable, multiple: int) -> Any:
        """All rows of the table or a slot in their order, laid over the devices that keep them; then rows of zeros.

        Args:
            variable: the table or a slot.
            multiple: what the number of rows is made a multiple of.
        """
        missing = -self.num_rows % multiple
        values = ops.convert_to_tensor(variable)
        return ops.pad(values, [[0, missing], [0, 0]]) if missing else values

    def take_in_order(self, variable: keras.Variable, values: Any) -> None:
        """Read what `in_order` of this store, or of one on other devices, gave.

        Args:
            variable: the table or a slot.
            values: its rows, and any number of rows after them.
        """
        for start in range(0, self.num_rows, BLOCK_ROWS):
            self.take_block(variable, f"rows.{start}", values[start : min(start + BLOCK_ROWS, self.num_rows)])

    def drop_slots(self) -> list[keras.Variable]:
        """Forget all that only training needs, and name it."""
        dropped = [*self.slots.values(), self.iterations, self.claims]
        self.slots, self.iterations, self.claims = {}, None, None
        return dropped


def masked_zeros(vectors: Any, rows: Any, num_rows: int) -> Any:
    """Zeros for rows that are none."""
    return ops.where(ops.expand_dims(rows < num_rows, -1), vectors, ops.zeros_like(vectors))


def check_rows(key: str, value: Any, num_rows: int) -> None:
    """Raise if a file's array has not as many rows as the table.

    Args:
        key: name of the array.
        value: the array.
        num_rows: rows of the table.
    """
    if len(value) != num_rows:
        raise ValueError(
            f"The file holds {len(value)} rows of {key!r}, but the table has {num_rows}. Load it into a layer of as "
            "many rows."
        )
