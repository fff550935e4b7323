"""Rows and slots that are dealt over the devices of a mesh, on JAX."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax.sharding import NamedSharding, PartitionSpec
from keras.src.backend.common.stateless_scope import in_stateless_scope

from ....distribution.one_writer import discards
from .base_row_store import BLOCK_ROWS, check_rows
from .jax_row_store import OverwrittenVariable, RowStore


class ShardedRowStore(RowStore):
    """Rows that lie on many devices: row `r` on device `r mod N`, as its row `r // N`.

    So frequent ids, which vocabularies number first, are spread over all devices. Table and slots are arrays
    `(N, rows of a device, width)`, whose first axis is laid over the devices; the last rows of some devices are room
    that no row fills. A shape of three axes keeps them from being mistaken for a table of another layout.

    Args:
        layer: layer that gets the weights.
        num_rows: rows of the table.
        *arguments: the other ones of `BaseRowStore`.
    """

    def __init__(self, layer: Any, num_rows: int, *arguments: Any) -> None:
        distribution = keras.distribution.distribution()
        self.axis = distribution.batch_dim_name
        self._device_mesh = distribution.device_mesh
        self.mesh = distribution.device_mesh.backend_mesh
        self.num_shards = int(self.mesh.shape[self.axis])
        self.shard_rows = -(-num_rows // self.num_shards)
        self._read = jax.jit(self.on_devices(self._read_shard, (True, False), False))
        self._read_in_order = jax.jit(self.on_devices(self._read_part_in_order, (True, False), False))
        self._write = jax.jit(self.on_devices(self._write_shard, (True, False, False), True), donate_argnums=0)
        super().__init__(layer, num_rows, *arguments)

    def on_devices(self, function: Any, dealt: tuple[bool, ...], out: Any) -> Any:
        """A function that each device runs on its own part.

        Args:
            function: function of the parts.
            dealt: for each argument, whether its first axis is dealt over the devices; if not, each device has all.
            out: the same for the result, or for each of several.
        """
        spec = {True: PartitionSpec(self.axis), False: PartitionSpec()}
        outs = jax.tree.map(spec.__getitem__, out)
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=tuple(map(spec.__getitem__, dealt)), out_specs=outs, check_vma=False
        )

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        self._fresh: set[str] = set()
        layer.embeddings = self._variable("embeddings", shape, initializer, dtype)
        return layer.embeddings

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        if not shape:
            return super()._add_slot(layer, name, shape, initializer)
        slot = self._variable(name, shape, initializer, "float32")
        layer._track_variable(slot)
        return slot

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> Any:
        """None: an owner sorts the few rows that it is asked for in a round."""

    def _variable(self, name: str, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        layout = keras.distribution.TensorLayout((self.axis, None, None), self._device_mesh)
        dealt = (self.num_shards, self.shard_rows, shape[1])
        value = self._deal(initializer, shape, dtype)
        if in_stateless_scope():
            # Keras takes values of variables that are made here later, and then only from a function.
            return OverwrittenVariable(self._fresh, lambda *_, **__: value, dealt, dtype, name, layout)
        return OverwrittenVariable(self._fresh, value, dealt, dtype, name, layout)

    def _deal(self, initializer: Any, shape: tuple[int, ...], dtype: str) -> Any:
        """The initial values, each block of them cut up among the devices of this process."""
        sharding = NamedSharding(self.mesh, PartitionSpec(self.axis))
        dealt = (self.num_shards, self.shard_rows, shape[1])
        places = sharding.addressable_devices_indices_map(dealt).items()
        shard_of = {device: index[0].start or 0 for device, index in places if index is not None}
        parts = {device: jnp.zeros((1, *dealt[1:]), dtype, device=device) for device in shard_of}
        for start, block in initializer.blocks(shape, dtype):
            for device, shard in shard_of.items():
                first = (shard - start) % self.num_shards
                rows = jax.device_put(block[None, first :: self.num_shards], device)
                parts[device] = _write_part(parts[device], rows, (start + first) // self.num_shards)
        return jax.make_array_from_single_device_arrays(dealt, sharding, list(parts.values()))

    def owner(self, rows: Any) -> tuple[Any, Any]:
        """Whether this device keeps rows, and their numbers on it, `shard_rows` where it does not; for `on_devices`."""
        mine = (rows % self.num_shards == jax.lax.axis_index(self.axis)) & (rows < self.num_rows)
        return mine, jnp.where(mine, rows // self.num_shards, self.shard_rows)

    def _read_shard(self, part: Any, rows: Any) -> Any:
        mine, local = self.owner(rows)
        found = jnp.where(mine[:, None], part[0].at[local].get(mode="clip"), 0)
        return jax.lax.psum(found, self.axis)

    def _write_shard(self, part: Any, rows: Any, values: Any) -> Any:
        return part.at[0, self.owner(rows)[1]].set(values, mode="drop")

    def write(self, variable: keras.Variable, rows: Any, values: Any) -> None:
        """See `BaseRowStore.write`."""
        variable.assign(self._write(variable.value, rows, values))

    def read(self, variable: keras.Variable, rows: Any) -> Any:
        """Rows of the table or a slot by their numbers, on every device."""
        return self._read(variable.value, rows)

    def blocks(self, name: str, variable: keras.Variable) -> Iterator[tuple[str, Any]]:
        """See `BaseRowStore.blocks`."""
        if not variable.shape:
            yield name, variable
            return
        for start in range(0, self.num_rows, BLOCK_ROWS):
            rows = jnp.arange(start, min(start + BLOCK_ROWS, self.num_rows), dtype="int32")
            values = self.read(variable, rows)
            yield f"{name}.{start}", values[:0] if discards() else values

    def take_block(self, variable: keras.Variable, key: str, value: Any) -> None:
        """See `BaseRowStore.take_block`."""
        if variable.shape and "." not in key:
            # A file of a table on one device.
            check_rows(key, value, self.num_rows)
            for start in range(0, self.num_rows, BLOCK_ROWS):
                super().take_block(variable, f"{key}.{start}", value[start : start + BLOCK_ROWS])
        else:
            super().take_block(variable, key, value)

    def in_order(self, variable: keras.Variable, multiple: int) -> Any:
        """See `BaseRowStore.in_order`: every device gets the rows of one part of the order."""
        least = math.lcm(multiple, self.num_shards)
        part_rows = -(-self.shard_rows // least) * least

        def part_in_order(part: Any) -> Any:
            part = jnp.pad(part[0], [[0, part_rows - self.shard_rows], [0, 0]])
            # From each device, those of its rows that lie in this device's part of the order.
            swapped = jax.lax.all_to_all(part, self.axis, 0, 0, tiled=True)
            return swapped.reshape(self.num_shards, -1, part.shape[1]).swapaxes(0, 1).reshape(part.shape)

        return jax.jit(self.on_devices(part_in_order, (True,), True))(variable.value)

    def take_in_order(self, variable: keras.Variable, values: Any) -> None:
        """See `BaseRowStore.take_in_order`."""
        for start in range(0, self.num_rows, BLOCK_ROWS):
            rows = jnp.arange(start, min(start + BLOCK_ROWS, self.num_rows), dtype="int32")
            self.write(variable, rows, self._read_in_order(values, rows))

    def _read_part_in_order(self, part: Any, rows: Any) -> Any:
        local = rows - jax.lax.axis_index(self.axis) * part.shape[0]
        mine = (local >= 0) & (local < part.shape[0])
        return jax.lax.psum(jnp.where(mine[:, None], part.at[local].get(mode="clip"), 0), self.axis)


@functools.partial(jax.jit, donate_argnums=0)
def _write_part(part: Any, rows: Any, start: Any) -> Any:
    return jax.lax.dynamic_update_slice_in_dim(part, rows, start, 1)
