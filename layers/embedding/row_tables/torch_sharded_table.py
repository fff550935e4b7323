"""Rows that are dealt over the processes of `torch.distributed`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import torch
from keras import ops
from torch import distributed

from ....distribution import rank, world_size
from ....distribution.one_writer import discards
from ....distribution.replicas import total
from .base_row_store import BLOCK_ROWS, Update, check_rows
from .exchange import Exchange
from .torch_row_store import RowStore
from .torch_row_table import RowTable


def make_sharded_table(*arguments: Any) -> RowTable:
    """A table over the present processes, for the arguments of `BaseRowStore`."""
    store = ShardedRowStore(*arguments)
    return RowTable(arguments[0], store, ShardedExchange(store))


class ShardedRowStore(RowStore):
    """The rows that one of N processes keeps: row `r` of the table lies in process `r mod N`, at `r // N`.

    Rows that follow each other lie in different processes, so frequent ids (which are the first ones) spread, and a
    file in the order of the rows fits any N. Each process has room for `ceil(rows / N)` rows; a place that no row of
    the table belongs to is never read.

    Args:
        layer: see `BaseRowStore`.
        num_rows: rows of the whole table.
        width: see `BaseRowStore`.
        initializer: see `BaseRowStore`; it has a method `blocks`.
        dtype: see `BaseRowStore`.
        slots: see `BaseRowStore`; their initializers have such a method too.
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
        self.table_rows, self.num_shards, self.rank = num_rows, world_size(), rank()
        own_slots = {name: (slot_width, self._own_rows(value)) for name, (slot_width, value) in slots.items()}
        local_rows = -(-num_rows // self.num_shards)
        super().__init__(layer, local_rows, width, self._own_rows(initializer), dtype, own_slots)
        for variable in (self.embeddings, *self.slots.values()):
            # What brings processes to one state leaves it alone.
            variable.of_this_process = True

    def _own_rows(self, initializer: Any) -> Callable[..., Any]:
        """An initializer that draws a block of the whole table after the other and keeps the rows of this process."""

        def values(shape: tuple[int, ...], dtype: Any = None) -> Any:
            local: Any = None
            for first, block in initializer.blocks((self.table_rows, *shape[1:]), dtype):
                if local is None:
                    local = torch.zeros(tuple(shape), dtype=block.dtype, device=block.device)
                self._put(local, first, block, dtype)
            return local

        return values

    def _put(self, local: Any, first: int, block: Any, dtype: Any) -> None:
        """Take the rows of this process from the block of the table that begins with row `first`."""
        offset = (self.rank - first) % self.num_shards
        own = ops.convert_to_tensor(block[offset :: self.num_shards], dtype=dtype)
        place = (first + offset) // self.num_shards
        local[place : place + len(own)] = own

    def update(self, rows: Any, gradient: Any, update: Update) -> None:
        """See `RowStore.update`; the update gets the rows' numbers in the table."""

        def with_table_numbers(rows: Any, gradient: Any, slots: Any, iteration: Any, numbers: Any) -> Any:
            return update(rows, gradient, slots, iteration, numbers * self.num_shards + self.rank)

        super().update(rows, gradient, with_table_numbers)

    @torch.no_grad()
    def write(self, variable: keras.Variable, rows: Any, values: Any) -> None:
        """See `BaseRowStore.write`: every process is given all rows and keeps its own."""
        rows = rows.long()
        own = rows % self.num_shards == self.rank
        super().write(variable, rows[own] // self.num_shards, values[own])

    @torch.no_grad()
    def read(self, variable: keras.Variable, rows: Any) -> Any:
        """See `BaseRowStore.read`: every process asks for the same rows, and all of them get all."""
        rows = rows.long()
        own = rows % self.num_shards == self.rank
        local = variable.value
        values = torch.zeros((len(rows), *local.shape[1:]), dtype=local.dtype, device=local.device)
        values[own] = local.index_select(0, rows[own] // self.num_shards)
        distributed.all_reduce(values)
        return values

    def blocks(self, name: str, variable: keras.Variable) -> Iterator[tuple[str, Any]]:
        """See `BaseRowStore.blocks`: all processes collect a block of the table's rows after the other."""
        if not variable.shape:
            yield name, variable
            return
        for first in range(0, self.table_rows, BLOCK_ROWS):
            rows = ops.arange(first, min(first + BLOCK_ROWS, self.table_rows), dtype="int32")
            values = self.read(variable, rows)
            yield f"{name}.{first}", values[:0] if discards() else values

    @torch.no_grad()
    def take_block(self, variable: keras.Variable, key: str, value: Any) -> None:
        """See `BaseRowStore.take_block`; a whole table is a block, too."""
        if not variable.shape:
            super().take_block(variable, key, value)
        else:
            if "." not in key:
                check_rows(key, value, self.table_rows)
            # NumPy's rows are cut before they become a tensor, which would be a second copy of the block.
            self._put(variable.value, int(key.partition(".")[2] or 0), value, variable.dtype)

    def in_order(self, variable: keras.Variable, multiple: int) -> Any:
        """Raise: a process cannot hold all rows."""
        raise RuntimeError(
            f"The rows of a table are dealt over {self.num_shards} processes of torch, and no process can give the "
            "state tree of all of them. Save with `save`, `save_weights`, `ModelCheckpoint` or `BackupAndRestore`."
        )


class ShardedExchange(Exchange):
    """Asks the processes for their rows: each distinct row of this process' part of the batch travels once.

    Every process takes part in every lookup and in every backward pass, also one whose rows are few or none.

    The loss of a process is the sum over its rows, divided by the mean number of rows that the processes have. So a
    row's gradient is the mean of what the processes send.

    Args:
        store: the rows of this process, which travel as they are kept.
    """

    def __init__(self, store: ShardedRowStore) -> None:
        # Of the store `num_rows` are the rows of one process.
        self._num_rows, self._local_rows, self._count = store.table_rows, store.num_rows, store.num_shards
        self._dtype = store.embeddings.value.dtype

    def check(self) -> None:
        """Raise if another number of processes trains than the table was made for."""
        if world_size() != self._count:
            raise RuntimeError(
                f"The rows of a fused embedding table were dealt over {self._count} processes when it was built, and "
                f"now there are {world_size()}. Build it, or load its file, after "
                "torch.distributed.init_process_group, and use it until the processes end."
            )

    @torch.no_grad()
    def _request(self, rows: Any) -> tuple[Any, Any]:
        """See `Exchange.request`. The rows asked for hold no "no row"."""
        self.check()
        # Sorted by owner, and within an owner by place; "no row" is the last one.
        places = rows % self._count * self._local_rows + torch.div(rows, self._count, rounding_mode="floor")
        nowhere = self._count * self._local_rows
        distinct, positions = torch.unique(torch.where(rows < self._num_rows, places, nowhere), return_inverse=True)
        borders = torch.arange(self._count + 1, dtype=distinct.dtype, device=rows.device) * self._local_rows
        cuts = torch.searchsorted(distinct, borders)
        sent_counts = torch.diff(cuts)
        asked_counts = torch.empty_like(sent_counts)
        distributed.all_to_all_single(asked_counts, sent_counts)
        sent, asked = sent_counts.tolist(), asked_counts.tolist()
        asked_rows = _travel(distinct[: sum(sent)] % self._local_rows, sent, asked)
        return asked_rows, (positions, sent, asked)

    def _reply(self, vectors: Any, route: Any) -> Any:
        """See `Exchange.reply`; "no row" is zeros."""
        positions, sent, asked = route
        received = _travel(vectors.to(self._dtype), asked, sent).float()
        nothing = torch.zeros((1, vectors.shape[1]), device=vectors.device)
        return torch.cat([received, nothing]).index_select(0, positions)

    # What is sent depends on the batch, which the compiler of torch cannot know.
    request: Any = torch.compiler.disable(_request)
    reply: Any = torch.compiler.disable(_reply)

    def return_gradient(self, gradient: Any, route: Any) -> Any:
        """See `Exchange.return_gradient`; the gradients of a row's repeats in this process are summed first."""
        positions, sent, asked = route
        sums = torch.zeros((sum(sent) + 1, gradient.shape[1]), device=gradient.device)
        sums.index_add_(0, positions, gradient.float())
        return _travel(sums[:-1], sent, asked) / self._count

    def total(self, value: Any) -> Any:
        """See `Exchange.total`."""
        return total(value)


def _travel(values: Any, sent: list[int], received: list[int]) -> Any:
    """Send each process its part of the values and return what the processes send here.

    Args:
        values: one part after the other.
        sent: how many values each process gets.
        received: how many values each process sends here.
    """
    arrived = torch.empty((sum(received), *values.shape[1:]), dtype=values.dtype, device=values.device)
    distributed.all_to_all_single(arrived, values.contiguous(), received, sent)
    return arrived
