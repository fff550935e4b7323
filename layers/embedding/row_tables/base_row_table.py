"""What the fused tables of all backends have in common."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from ...replicas import found_devices

# (rows, gradient, slots, iteration, learning rate, loss scale) -> new rows, new slots
Update = Callable[..., tuple[Any, dict[str, Any]]]
_INSTEAD = (
    "use an embedding that the optimizer of `compile` trains (`EmbeddingCollection`; `embedding_optimizer=None` in a "
    "CTRModel)"
)


class BaseRowTable(abc.ABC):
    """Rows, their optimizer's slots, and the claims that find repeated rows.

    To sum the gradients of repeats, every position of a batch writes its number
    into `claims[row]`; whichever number stands there afterwards names the position
    where that row's gradients are added up. This costs one write and one read per
    position and no sort, and needs no cleaning: each step reads only what it wrote.

    Row number `num_rows` means "no row": it reads as zeros and trains nothing. A
    lookup changes nothing by itself: what it trains, it trains in its backward pass.

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
    def lookup(self, rows: Any, masked: bool) -> Any:
        """Rows as float32 `(positions, width)`; `masked` says that some may be `num_rows`."""

    @abc.abstractmethod
    def train_lookup(
        self, rows: Any, masked: bool, update: Update, learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Rows, and a zero to add to the loss, by whose gradient the update knows how the loss was scaled.

        The backward pass calls `check`, which raises if the table cannot train as the model does.
        """

    def may_train(self) -> bool:
        """Whether a backward pass could follow."""
        return True

    def drop_slots(self) -> list[keras.Variable]:
        """Forget all that only training needs, and name it."""
        dropped = [*self.slots.values(), self.iterations, self.claims]
        self.slots, self.iterations, self.claims = {}, None, None
        return dropped

    @staticmethod
    def check_devices() -> None:
        """Raise where a step runs on several devices: the update of a row needs the whole batch."""
        found = found_devices()
        if found is not None:
            raise RuntimeError(
                f"A fused embedding table trains on one device; received {found}. Its rows would be updated from each "
                f"device's part of the batch alone. Train without distribution, or {_INSTEAD}."
            )


def refuse_second_lookup() -> None:
    """Raise: the update of a row needs all of its gradient."""
    raise RuntimeError(
        "A fused embedding table was looked up twice in one training step, so its rows would be updated from a part "
        f"of their gradient. Pass all ids of a step in one call (concatenate them), or {_INSTEAD}."
    )


def refuse_accumulation(optimizer: Any) -> None:
    """Raise if the optimizer of `compile` collects gradients over several steps."""
    steps = getattr(getattr(optimizer, "inner_optimizer", optimizer), "gradient_accumulation_steps", None)
    if steps:
        raise RuntimeError(
            "A fused embedding table updates its rows at every batch and cannot wait for accumulated gradients. "
            f"Received: gradient_accumulation_steps={steps}. Leave it out (a fused table makes large batches cheap), "
            f"or {_INSTEAD}."
        )


def masked_zeros(vectors: Any, rows: Any, num_rows: int) -> Any:
    """Zeros for rows that are none."""
    return ops.where(ops.expand_dims(rows < num_rows, -1), vectors, ops.zeros_like(vectors))
