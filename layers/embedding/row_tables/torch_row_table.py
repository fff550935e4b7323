"""Fused tables on PyTorch."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import torch

from .base_row_table import BaseRowTable, Update, masked_zeros, refuse_second_lookup


class RowTable(BaseRowTable):
    """A table that an autograd function updates in place in its backward pass.

    Table, slots and claims are no parameters with a gradient; the scalar
    `gradient_hook` is one, so that autograd runs the backward pass.
    """

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        self._last_task = -1
        self._hook = layer.add_weight(
            name="gradient_hook", shape=(), initializer="zeros", dtype="float32", autocast=False
        )
        return layer.add_weight(
            name="embeddings", shape=shape, initializer=initializer, dtype=dtype, trainable=False, autocast=False
        )

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        return keras.Variable(initializer, shape, "float32", trainable=False, autocast=False, name=name)

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        return keras.Variable("zeros", shape, "int32", trainable=False, autocast=False, name="claims")

    def lookup(self, rows: Any, masked: bool) -> Any:
        """Gather rows."""
        table = self.embeddings.value
        if not masked:
            return table.index_select(0, rows).float()
        vectors = table.index_select(0, rows.clamp(max=self.num_rows - 1)).float()
        return masked_zeros(vectors, rows, self.num_rows)

    def _lookup_and_train(
        self, rows: Any, masked: bool, update: Update, learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Gather rows; autograd calls `_train` with their gradient."""

        def train(gradient: Any, loss_scale: Any) -> None:
            check()
            # The number of the `backward()` that runs.
            task = torch._C._current_graph_task_id()
            if task == self._last_task:
                refuse_second_lookup()
            self._last_task = task
            self._train(rows, gradient, update, learning_rate, loss_scale)

        return _Gather.apply(self._hook.value, self.lookup(rows, masked), train)

    # The compiler of torch cannot trace a backward pass that writes to its inputs.
    train_lookup: Any = torch.compiler.disable(_lookup_and_train)

    @torch.no_grad()
    def _train(self, rows: Any, gradient: Any, update: Update, learning_rate: Any, loss_scale: Any) -> None:
        rows = rows.long()
        positions = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
        claims = self.claims.value
        claims.scatter_(0, rows, positions)
        leaders = claims.index_select(0, rows)
        leads = (leaders == positions) & (rows < self.num_rows)
        chosen = torch.nonzero(leads).reshape(-1)
        touched = rows.index_select(0, chosen)
        # Followers of "no row" get the number -1 of no leader: they add to a last entry that is cut off.
        numbers = torch.where(rows < self.num_rows, (torch.cumsum(leads, 0) - 1).index_select(0, leaders), len(chosen))
        sums = torch.zeros((len(chosen) + 1, gradient.shape[1]), device=gradient.device)
        sums.index_add_(0, numbers, gradient.float())
        table = self.embeddings.value
        slots = {name: slot.value.index_select(0, touched) for name, slot in self.slots.items()}
        iteration = self.iterations.value.add_(1.0)
        new, new_slots = update(table.index_select(0, touched), sums[:-1], slots, iteration, learning_rate, loss_scale)
        table.index_copy_(0, touched, new)
        for name, slot in self.slots.items():
            slot.value.index_copy_(0, touched, new_slots[name])

    @staticmethod
    def uniform(shape: tuple[int, ...], seed: int, iteration: Any) -> Any:
        """Draws from `[0, 1)`, others at each step."""
        generator = torch.Generator(device=iteration.device)
        generator.manual_seed((seed << 32) + int(iteration))
        return torch.rand(shape, generator=generator, device=iteration.device)


class _Gather(torch.autograd.Function):
    """Hands vectors on; its backward pass trains and gives the hook a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, hook: Any, vectors: Any, train: Callable[[Any, Any], None]) -> tuple[Any, Any]:
        ctx.train = train
        return vectors, torch.zeros_like(hook)

    @staticmethod
    def backward(ctx: Any, gradient: Any, loss_scale: Any) -> tuple[Any, ...]:
        ctx.train(gradient, loss_scale)
        return torch.zeros_like(loss_scale), None, None


def fill(shape: tuple[int, ...], dtype: str, blocks: Iterable[tuple[int, Any]]) -> Any:
    """One array of rows from `(first row, block)` pairs, without a second copy."""
    values: Any = None
    for start, block in blocks:
        if values is None:
            values = torch.empty(shape, dtype=block.dtype, device=block.device)
        values[start : start + len(block)] = block
    return values
