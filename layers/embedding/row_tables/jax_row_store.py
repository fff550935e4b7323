"""Rows and slots on JAX."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope

from .base_row_store import BaseRowStore, Update, masked_zeros
from .base_row_table import refuse_accumulation


class RowStore(BaseRowStore):
    """Rows that a step takes as values and returns as values.

    Keras' step on JAX is a function from variables to variables. Table and slots are trainable variables that the
    optimizer overwrites with their gradient, which is their next value. Compiled with its state donated, as Keras
    does, the step updates rows in place.
    """

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        self._fresh: set[str] = set()
        layer.embeddings = OverwrittenVariable(self._fresh, initializer, shape, dtype, "embeddings")
        return layer.embeddings

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        slot = OverwrittenVariable(self._fresh, initializer, shape, "float32", name)
        layer._track_variable(slot)
        return slot

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        return layer.add_weight(
            name="claims", shape=shape, initializer="zeros", dtype="int32", trainable=False, autocast=False
        )

    def gather(self, rows: Any, masked: bool) -> Any:
        """See `BaseRowStore.gather`."""
        return gather(jax.lax.stop_gradient(self.embeddings.value), rows, masked)

    def claim(self, rows: Any) -> Any:
        """The position that leads the repeats of each position's row."""
        positions = jnp.arange(rows.shape[0], dtype="int32")
        claims = self.claims.value.at[rows].set(positions, mode="promise_in_bounds")
        self.claims.assign(claims)
        return claims.at[rows].get(mode="promise_in_bounds")

    def values(self) -> tuple[Any, dict[str, Any], Any]:
        """Table, slots and iteration, as `update` takes and returns them."""
        return self.embeddings.value, {name: slot.value for name, slot in self.slots.items()}, self.iterations.value

    @staticmethod
    def update(values: Any, rows: Any, leaders: Any, masked: bool, gradient: Any, update: Update) -> Any:
        """New values, after training rows, which may repeat, with the gradient of each position."""
        table, slots, iteration = values
        num_rows, positions = table.shape[0], jnp.arange(rows.shape[0], dtype="int32")
        sums = jax.ops.segment_sum(gradient, leaders, rows.shape[0])
        # Shapes are static, so followers stay in: their sums are zero, and row `num_rows` drops what becomes of them.
        touched = jnp.where(leaders == positions, rows, num_rows)
        if masked:
            sums = masked_zeros(sums, touched, num_rows)
        old = table.at[touched].get(mode="clip")
        old_slots = {name: slot.at[touched].get(mode="clip") for name, slot in slots.items()}
        iteration = iteration + 1.0
        new, new_slots = update(old, sums, old_slots, iteration, touched)
        slots = {name: slot.at[touched].set(new_slots[name], mode="drop") for name, slot in slots.items()}
        return table.at[touched].set(new, mode="drop"), slots, iteration

    def expect_values(self) -> None:
        """Note that a step begins: until its backward pass ran, there is nothing to assign."""
        self._fresh.clear()

    def mark_fresh(self) -> None:
        """Note that a backward pass made new values, which the optimizer may now assign."""
        variables = [self.embeddings, self.iterations, *self.slots.values()]
        self._fresh.update(variable.name for variable in variables)

    def write(self, variable: keras.Variable, rows: Any, values: Any) -> None:
        """See `BaseRowStore.write`."""
        variable.assign(_write_rows(variable.value, rows, values))


class OverwrittenVariable(keras.Variable):
    """A trainable variable whose gradient is its next value.

    Inside a step it takes a value only after a backward pass made one. Without one
    (a step whose loss does not depend on the table) the gradient is zero, and the
    table would be overwritten with zeros.
    """

    def __init__(
        self, fresh: set[str], initializer: Any, shape: tuple[int, ...], dtype: str, name: str, layout: Any = None
    ) -> None:
        super().__init__(initializer, shape, dtype, trainable=True, autocast=False, layout=layout, name=name)
        self.overwrite_with_gradient = True
        self._fresh = fresh

    def assign(self, value: Any) -> Any:
        """Take a value; inside a step only one that a backward pass made."""
        if in_stateless_scope():
            # Keras' step calls no model here that could be asked, but the optimizer that assigns names its scope.
            for name_scope in global_state.get_global_attribute("name_scope_stack") or ():
                refuse_accumulation(name_scope.caller)
            if self.name not in self._fresh:
                return self.value
            self._fresh.discard(self.name)
        return super().assign(value)


def gather(table: Any, rows: Any, masked: bool) -> Any:
    """Rows of a table, zeros where there is none."""
    if not masked:
        return table.at[rows].get(mode="promise_in_bounds").astype("float32")
    return masked_zeros(table.at[rows].get(mode="clip").astype("float32"), rows, table.shape[0])


@functools.partial(jax.jit, donate_argnums=0)
def _write(values: Any, block: Any, start: Any) -> Any:
    return jax.lax.dynamic_update_slice_in_dim(values, block, start, 0)


@functools.partial(jax.jit, donate_argnums=0)
def _write_rows(table: Any, rows: Any, values: Any) -> Any:
    return table.at[rows].set(values, unique_indices=True)


def fill(shape: tuple[int, ...], dtype: str, blocks: Iterable[tuple[int, Any]]) -> Any:
    """One array of rows from `(first row, block)` pairs, without a second copy."""
    values = jnp.zeros(shape, dtype)
    for start, block in blocks:
        values = _write(values, block, start)
    return values
