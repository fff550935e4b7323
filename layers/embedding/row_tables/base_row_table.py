"""What the fused tables of all backends have in common."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

# (rows, gradient, slots, context, loss scale) -> new rows, new slots
Update = Callable[..., tuple[Any, dict[str, Any]]]


class BaseRowTable:
    """Rows, their optimizer's slots, and the claims that find repeated rows.

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
        self.claims = self._add_claims(layer, (num_rows + 1,))
        self._waiting: Any = None

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        raise NotImplementedError

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        raise NotImplementedError

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        raise NotImplementedError

    def lookup(self, rows: Any, masked: bool) -> Any:
        """Rows as float32 `(positions, width)`; `masked` says that some may be `num_rows`."""
        raise NotImplementedError

    def train_lookup(self, rows: Any, masked: bool, update: Update, context: Mapping[str, Any]) -> tuple[Any, Any]:
        """Rows, and a zero to add to the loss, by whose gradient the update knows how the loss was scaled."""
        raise NotImplementedError

    def check_devices(self) -> None:
        """Raise where a step runs on several devices."""
        distribution = keras.distribution.distribution()
        if distribution is not None and distribution.device_mesh.devices.size > 1:
            refuse_devices(f"keras.distribution.{type(distribution).__name__}")

    def _wait(self, owner: Any) -> None:
        """Note that `owner`'s backward pass will update the table; raise if another's still has to."""
        if self._waiting is not None and self._waiting() is not None:
            raise RuntimeError(
                "A fused embedding table was looked up twice in one training step, so its rows would be updated from "
                "half of their gradient. Pass all ids of a step in one call (concatenate them), or use an embedding "
                "that the optimizer of `compile` trains."
            )
        self._waiting = weakref.ref(owner)


class Lookup:
    """One forward pass that waits for its backward pass; it lives as long as the backend may still run that."""


def refuse_devices(what: str) -> None:
    """Raise: the update of a row needs the whole batch."""
    raise RuntimeError(
        f"A fused embedding table trains on one device; received {what}. Its rows would be updated from each device's "
        "part of the batch alone. Train without distribution, or use an embedding that the optimizer of `compile` "
        "trains."
    )


def masked_zeros(vectors: Any, rows: Any, num_rows: int) -> Any:
    """Zeros for rows that are none."""
    return ops.where(ops.expand_dims(rows < num_rows, -1), vectors, ops.zeros_like(vectors))
