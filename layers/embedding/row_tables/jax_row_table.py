"""Fused tables on JAX."""

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope

from .base_row_table import BaseRowTable, Update, masked_zeros, refuse_accumulation, refuse_second_lookup


class RowTable(BaseRowTable):
    """A table whose "gradient" is the updated table.

    Keras' step on JAX is a function from variables to variables. Table and slots
    are trainable variables that the optimizer overwrites with their gradient; the
    backward pass of a lookup returns them updated. Compiled with its state
    donated, as Keras does, the step updates rows in place.
    """

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        self._fresh: set[str] = set()
        self._scope: weakref.ref[Any] | None = None
        self._lookups: list[_Static] = []
        layer.embeddings = _OverwrittenVariable(self._fresh, initializer, shape, dtype, "embeddings")
        return layer.embeddings

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        slot = _OverwrittenVariable(self._fresh, initializer, shape, "float32", name)
        layer._track_variable(slot)
        return slot

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        return layer.add_weight(
            name="claims", shape=shape, initializer="zeros", dtype="int32", trainable=False, autocast=False
        )

    def lookup(self, rows: Any, masked: bool) -> Any:
        """Gather rows."""
        return _gather(jax.lax.stop_gradient(self.embeddings.value), rows, masked)

    def train_lookup(
        self, rows: Any, masked: bool, update: Update, learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Gather rows; their gradient becomes that of table and slots."""
        scope = get_stateless_scope()
        if scope is None:
            return self.lookup(rows, masked), jnp.zeros(())
        if self._scope is None or self._scope() is not scope:
            self._scope, self._lookups = weakref.ref(scope), []
        static = _Static(self, masked, update, check, self._lookups)
        self._lookups.append(static)
        positions = jnp.arange(rows.shape[0], dtype="int32")
        claims = self.claims.value.at[rows].set(positions, mode="promise_in_bounds")
        leaders = claims.at[rows].get(mode="promise_in_bounds")
        self.claims.assign(claims)
        self._fresh.clear()
        state = ({name: slot.value for name, slot in self.slots.items()}, self.iterations.value)
        return _train_lookup(static, self.embeddings.value, state, rows, leaders, learning_rate)

    def mark_fresh(self) -> None:
        """Note that a backward pass made new values, which the optimizer may now assign."""
        variables = [self.embeddings, self.iterations, *self.slots.values()]
        self._fresh.update(variable.name for variable in variables)

    @staticmethod
    def uniform(shape: tuple[int, ...], seed: int, iteration: Any) -> Any:
        """Draws from `[0, 1)`, others at each step."""
        return jax.random.uniform(jax.random.fold_in(jax.random.key(seed), iteration.astype("int32")), shape)


class _OverwrittenVariable(keras.Variable):
    """A trainable variable whose gradient is its next value.

    Inside a step it takes a value only after a backward pass made one. Without one
    (a step whose loss does not depend on the table) the gradient is zero, and the
    table would be overwritten with zeros.
    """

    def __init__(self, fresh: set[str], initializer: Any, shape: tuple[int, ...], dtype: str, name: str) -> None:
        super().__init__(initializer, shape, dtype, trainable=True, autocast=False, name=name)
        self.overwrite_with_gradient = True
        self._fresh = fresh

    def assign(self, value: Any) -> Any:
        if in_stateless_scope():
            # Keras' step calls no model here that could be asked, but the optimizer that assigns names its scope.
            for name_scope in global_state.get_global_attribute("name_scope_stack") or ():
                refuse_accumulation(name_scope.caller)
            if self.name not in self._fresh:
                return self.value
            self._fresh.discard(self.name)
        return super().assign(value)


class _Static:
    """What the compiled lookup knows beforehand, hashed by identity."""

    def __init__(
        self, table: RowTable, masked: bool, update: Update, check: Callable[[], None], lookups: list["_Static"]
    ) -> None:
        self.table, self.masked, self.update, self.check = table, masked, update, check
        # All lookups of the step.
        self.lookups = lookups


def _gather(table: Any, rows: Any, masked: bool) -> Any:
    if not masked:
        return table.at[rows].get(mode="promise_in_bounds").astype("float32")
    return masked_zeros(table.at[rows].get(mode="clip").astype("float32"), rows, table.shape[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _train_lookup(static: _Static, table: Any, state: Any, rows: Any, leaders: Any, learning_rate: Any) -> Any:
    return _gather(table, rows, static.masked), jnp.zeros(())


def _forward(static: _Static, *arguments: Any) -> tuple[Any, Any]:
    return _train_lookup(static, *arguments), arguments


def _backward(static: _Static, saved: Any, cotangents: Any) -> tuple[Any, ...]:
    table, (slots, iteration), rows, leaders, learning_rate = saved
    gradient, loss_scale = cotangents
    static.check()
    if len(static.lookups) > 1:
        refuse_second_lookup()
    static.table.mark_fresh()
    num_rows, positions = table.shape[0], jnp.arange(rows.shape[0], dtype="int32")
    sums = jax.ops.segment_sum(gradient, leaders, rows.shape[0])
    # Shapes are static, so followers stay in: their sums are zero, and row `num_rows` drops what becomes of them.
    touched = jnp.where(leaders == positions, rows, num_rows)
    if static.masked:
        sums = masked_zeros(sums, touched, num_rows)
    old = table.at[touched].get(mode="clip")
    old_slots = {name: slot.at[touched].get(mode="clip") for name, slot in slots.items()}
    iteration = iteration + 1.0
    new, new_slots = static.update(old, sums, old_slots, iteration, learning_rate, loss_scale)
    slots = {name: slot.at[touched].set(new_slots[name], mode="drop") for name, slot in slots.items()}
    return table.at[touched].set(new, mode="drop"), (slots, iteration), None, None, None


_train_lookup.defvjp(_forward, _backward)


@functools.partial(jax.jit, donate_argnums=0)
def _write(values: Any, block: Any, start: Any) -> Any:
    return jax.lax.dynamic_update_slice_in_dim(values, block, start, 0)


def fill(shape: tuple[int, ...], dtype: str, blocks: Iterable[tuple[int, Any]]) -> Any:
    """One array of rows from `(first row, block)` pairs, without a second copy."""
    values = jnp.zeros(shape, dtype)
    for start, block in blocks:
        values = _write(values, block, start)
    return values
