"""Fused tables on JAX."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from keras.src.backend.common.stateless_scope import get_stateless_scope

from .base_row_store import Update
from .base_row_table import BaseRowTable, refuse_second_lookup
from .exchange import Exchange
from .jax_row_store import gather


class RowTable(BaseRowTable):
    """A table whose "gradient" is the updated table: the backward pass of a lookup returns the store's next values."""

    def __init__(self, layer: Any, store: Any, exchange: Exchange) -> None:
        super().__init__(layer, store, exchange)
        self._scope: weakref.ref[Any] | None = None
        self._lookups: list[_Static] = []

    def train_lookup(
        self, rows: Any, masked: bool, update: Callable[..., Any], learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Look rows up; their gradient becomes that of table and slots."""
        scope = get_stateless_scope()
        if scope is None:
            return self.lookup(rows, masked), jnp.zeros(())
        if self._scope is None or self._scope() is not scope:
            self._scope, self._lookups = weakref.ref(scope), []
        static = _Static(self, masked, update, check, self._lookups)
        self._lookups.append(static)
        plan = self.plan(rows)
        self.store.expect_values()
        return _train_lookup(static, self.store.values(), plan, learning_rate)

    def plan(self, rows: Any) -> Any:
        """What the passes of a step need to know of its rows: arrays that `look_up` and `trained` take."""
        asked, route = self.exchange.request(rows)
        # Here, since a weight that is not trainable can only be assigned in the forward pass.
        return asked, route, self.store.claim(asked)

    def look_up(self, values: Any, plan: Any, masked: bool) -> Any:
        """The rows of a plan, in the order of the lookup, from the values of the store."""
        asked, route, _ = plan
        return self.exchange.reply(gather(values[0], asked, masked), route)

    def trained(self, values: Any, plan: Any, masked: bool, gradient: Any, update: Update, numbers: Any) -> Any:
        """The next values of the store, from the gradient of what `look_up` gave.

        Args:
            values: see `RowStore.values`.
            plan: see `plan`.
            masked: see `lookup`.
            gradient: gradient of the rows looked up.
            update: see `train_lookup`.
            numbers: learning rate and loss scale.
        """
        asked, route, leaders = plan
        rule = functools.partial(update, learning_rate=numbers[0], loss_scale=numbers[1])
        gradient = self.exchange.return_gradient(gradient, route)
        return self.store.update(values, asked, leaders, masked, gradient, rule)


class _Static:
    """What the compiled lookup knows beforehand, hashed by identity."""

    def __init__(
        self,
        table: RowTable,
        masked: bool,
        update: Callable[..., Any],
        check: Callable[[], None],
        lookups: list["_Static"],
    ) -> None:
        self.table, self.masked, self.update, self.check = table, masked, update, check
        # All lookups of the step.
        self.lookups = lookups


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _train_lookup(static: _Static, values: Any, plan: Any, learning_rate: Any) -> Any:
    return static.table.look_up(values, plan, static.masked), jnp.zeros(())


def _forward(static: _Static, *arguments: Any) -> tuple[Any, Any]:
    return _train_lookup(static, *arguments), arguments


def _backward(static: _Static, saved: Any, cotangents: Any) -> tuple[Any, ...]:
    values, plan, learning_rate = saved
    gradient, loss_scale = cotangents
    static.check()
    if len(static.lookups) > 1:
        refuse_second_lookup()
    static.table.store.mark_fresh()
    numbers = (learning_rate, loss_scale)
    return static.table.trained(values, plan, static.masked, gradient, static.update, numbers), None, None


_train_lookup.defvjp(_forward, _backward)
