"""Fused tables that are dealt over the devices of a mesh, on JAX."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras

from .base_row_store import Update
from .exchange import Exchange
from .jax_row_table import RowTable
from .jax_sharded_store import ShardedRowStore


def make_sharded_table(*arguments: Any) -> "ShardedRowTable":
    """A table over the devices of the present distribution, for the arguments of `BaseRowStore`."""
    store = ShardedRowStore(*arguments)
    return ShardedRowTable(arguments[0], store, ShardedExchange(store))


def round_capacity(positions: int, shards: int) -> int:
    """Rows that one device may ask another for in one round.

    A device rarely asks for as many rows as it has positions, since ids repeat. Rounds this small cost what the rows
    need and little more, however many repeat.
    """
    return max(128, -(-positions // (32 * shards)))


class ShardedRowTable(RowTable):
    """Each device asks the owners of its rows for them, and sends them the gradient.

    A device looks each of its distinct rows up once. It sends their numbers to the devices that keep them, which send
    the rows back; in the backward pass it sends the sums of their gradients, and the owner adds up what comes from all
    devices and updates each row once.

    An exchange between two devices has a fixed size. A lookup therefore takes rounds. In each of them an owner is
    asked for all rows below a number on which the devices agree: the smallest up to which every device has no more rows
    than fit. So no row is ever left out, and an owner has all of a row's gradient in one round.
    """

    store: ShardedRowStore
    exchange: "ShardedExchange"

    def lookup(self, rows: Any, masked: bool) -> Any:
        """See `BaseRowTable.lookup`."""
        return self.look_up(self.store.values(), self.plan(rows), masked)[: rows.shape[0]]

    def train_lookup(
        self, rows: Any, masked: bool, update: Callable[..., Any], learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """See `BaseRowTable.train_lookup`."""
        vectors, zero = super().train_lookup(rows, masked, update, learning_rate, check)
        return vectors[: rows.shape[0]], zero

    def plan(self, rows: Any) -> Any:
        """See `RowTable.plan`; rows that are none make the batch one that the devices divide."""
        missing = -rows.shape[0] % self.store.num_shards
        rows = jnp.pad(rows, (0, missing), constant_values=self.store.num_rows)
        return self.store.on_devices(self._plan, (True,), (True, True, True))(rows)

    def _plan(self, rows: Any) -> tuple[Any, Any, Any]:
        """Distinct rows of a device by owner, where each owner's begin, and the number of each position's row."""
        store, positions = self.store, rows.shape[0]
        nowhere = store.num_shards * store.shard_rows
        keys = (rows % store.num_shards) * store.shard_rows + rows // store.num_shards
        keys = jnp.where(rows < store.num_rows, keys, nowhere)
        keys, order = jax.lax.sort_key_val(keys, jnp.arange(positions, dtype="int32"))
        number = jnp.cumsum(jnp.append(False, keys[1:] != keys[:-1]).astype("int32"))
        distinct = jnp.full((positions,), nowhere, "int32").at[number].set(keys)
        bounds = jnp.searchsorted(distinct, jnp.arange(store.num_shards + 1, dtype="int32") * store.shard_rows)
        return distinct, bounds.astype("int32"), jnp.zeros_like(order).at[order].set(number)

    def look_up(self, values: Any, plan: Any, masked: bool) -> Any:
        """See `RowTable.look_up`."""
        return self.store.on_devices(self._look_up, (True,) * 4, True)(values[0], *plan)

    def _look_up(self, part: Any, distinct: Any, bounds: Any, number: Any) -> Any:
        table = part[0]

        def ask(found: Any, asked: Any, places: Any) -> Any:
            replies = self._swap(table.at[asked].get(mode="clip"))
            return found.at[places].set(replies.astype("float32"), mode="drop")

        found = jnp.zeros((distinct.shape[0], table.shape[1]), "float32")
        return self._in_rounds(ask, found, distinct, bounds)[number]

    def trained(self, values: Any, plan: Any, masked: bool, gradient: Any, update: Update, numbers: Any) -> Any:
        """See `RowTable.trained`."""
        table, slots, iteration = values
        of_device = functools.partial(self._trained, update=update)
        run = self.store.on_devices(of_device, (True,) * 4 + (False,) * 2, (True, True))
        return (*run(table, slots, plan, gradient, iteration, numbers), iteration + 1.0)

    def _trained(
        self, part: Any, slots: Any, plan: Any, gradient: Any, iteration: Any, numbers: Any, update: Update
    ) -> Any:
        distinct, bounds, number = plan
        rule = functools.partial(update, learning_rate=numbers[0], loss_scale=numbers[1])
        sums = jax.ops.segment_sum(gradient, number, distinct.shape[0])
        values = (part[0], {name: slot[0] for name, slot in slots.items()}, iteration)
        device = jax.lax.axis_index(self.store.axis)

        def of_rows(old: Any, sums: Any, slots: Any, iteration: Any, local: Any) -> Any:
            return rule(old, sums, slots, iteration, local * self.store.num_shards + device)

        def step(values: Any, asked: Any, places: Any) -> Any:
            received = self._swap(sums.at[places].get(mode="fill", fill_value=0.0))
            return self.store.update(values, asked, _leaders(asked), True, received, of_rows)

        def train(values: Any, asked: Any, places: Any) -> Any:
            # Every round is a part of one step, and has its number.
            return (*step(values, asked, places)[:2], iteration)

        def add(totals: Any, asked: Any, places: Any) -> Any:
            with self.exchange.totals() as addends:
                step(values, asked, places)
            return tuple(total + addend for total, addend in zip(totals, addends, strict=True))

        # What the whole step has in common, such as the length of its gradient, is known after all rounds alone.
        with self.exchange.totals() as wanted:
            jax.eval_shape(step, values, *self._round(distinct, bounds[:-1], bounds[1:])[:2])
        totals: Any = ()
        if wanted:
            zeros = tuple(jnp.zeros(value.shape, value.dtype) for value in wanted)
            totals = jax.lax.psum(self._in_rounds(add, zeros, distinct, bounds), self.store.axis)
        with self.exchange.totals(totals):
            table, slots, _ = self._in_rounds(train, values, distinct, bounds)
        return table[None], {name: slot[None] for name, slot in slots.items()}

    def _in_rounds(self, step: Callable[..., Any], state: Any, distinct: Any, bounds: Any) -> Any:
        """Call `step(state, asked, places)` for each round: the rows asked of this device, and where it asks."""

        def more(begin: Any) -> Any:
            return jax.lax.pmax(jnp.any(begin < bounds[1:]).astype("int32"), self.store.axis) > 0

        def body(carry: Any) -> Any:
            state, begin, _ = carry
            asked, places, begin = self._round(distinct, begin, bounds[1:])
            return step(state, asked, places), begin, more(begin)

        return jax.lax.while_loop(lambda carry: carry[2], body, (state, bounds[:-1], more(bounds[:-1])))[0]

    def _round(self, distinct: Any, begin: Any, end: Any) -> tuple[Any, Any, Any]:
        """The rows asked of this device, the places of the distinct rows that it asks for, and where it goes on."""
        store, positions = self.store, distinct.shape[0]
        capacity = min(round_capacity(positions, store.num_shards), positions)
        first = jnp.arange(store.num_shards, dtype="int32") * store.shard_rows
        after = begin + capacity
        beyond = distinct.at[after].get(mode="clip") - first
        limit = jax.lax.pmin(jnp.where(after < end, beyond, store.shard_rows), store.axis)
        stop = jnp.searchsorted(distinct, first + limit).astype("int32")
        places = begin[:, None] + jnp.arange(capacity, dtype="int32")
        inside = places < stop[:, None]
        ids = jnp.where(inside, distinct.at[places].get(mode="clip") - first[:, None], store.shard_rows)
        return self._swap(ids.reshape(-1)), jnp.where(inside, places, positions).reshape(-1), stop

    def _swap(self, parts: Any) -> Any:
        """Send each device its part: the first axis holds one part for each, one after the other."""
        return jax.lax.all_to_all(parts, self.store.axis, 0, 0, tiled=True)


class ShardedExchange(Exchange):
    """What the devices of a sharded table add up; how rows travel in rounds, `ShardedRowTable` knows itself."""

    def __init__(self, store: ShardedRowStore) -> None:
        self._store = store
        self._addends: list[Any] = []
        self._known: Iterator[Any] | None = None

    def check(self) -> None:
        """See `Exchange.check`."""
        distribution = keras.distribution.distribution()
        if distribution is None or distribution.device_mesh.backend_mesh != self._store.mesh:
            raise RuntimeError(
                f"The rows of this table are dealt over {self._store.num_shards} devices, but the distribution is now "
                f"{distribution}. Train under the one that the model was made under, or save the model, and load it "
                "under the other."
            )

    @contextlib.contextmanager
    def totals(self, known: Any = None) -> Iterator[list[Any]]:
        """While the rows of one round are updated: collect what `total` is asked to add up, or say what it comes to.

        Args:
            known: the totals, in the order in which they are asked for; `None` if they are not known yet.
        """
        self._addends, self._known = [], None if known is None else iter(known)
        yield self._addends
        self._addends, self._known = [], None

    def total(self, value: Any) -> Any:
        """See `Exchange.total`."""
        self._addends.append(value)
        return value if self._known is None else next(self._known)


def _leaders(rows: Any) -> Any:
    """The position that leads the repeats of each position's row."""
    ordered, order = jax.lax.sort_key_val(rows, jnp.arange(rows.shape[0], dtype="int32"))
    first = jnp.append(True, ordered[1:] != ordered[:-1])
    leader = order[jax.lax.cummax(jnp.where(first, jnp.arange(rows.shape[0], dtype="int32"), 0))]
    return jnp.zeros_like(order).at[order].set(leader)
