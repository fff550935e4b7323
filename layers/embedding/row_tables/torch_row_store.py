"""Rows and slots on PyTorch."""

from collections.abc import Iterable
from typing import Any

import keras
import torch

from .base_row_store import BaseRowStore, Update, masked_zeros


class RowStore(BaseRowStore):
    """Rows that are written in place; table, slots and claims are no parameters with a gradient."""

    def _add_table(self, layer: Any, shape: tuple[int, ...], initializer: Any, dtype: str) -> keras.Variable:
        return layer.add_weight(
            name="embeddings", shape=shape, initializer=initializer, dtype=dtype, trainable=False, autocast=False
        )

    def _add_slot(self, layer: Any, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        return keras.Variable(initializer, shape, "float32", trainable=False, autocast=False, name=name)

    def _add_claims(self, layer: Any, shape: tuple[int, ...]) -> keras.Variable:
        return keras.Variable("zeros", shape, "int32", trainable=False, autocast=False, name="claims")

    def gather(self, rows: Any, masked: bool) -> Any:
        """See `BaseRowStore.gather`."""
        table = self.embeddings.value
        if not masked:
            return table.index_select(0, rows).float()
        vectors = table.index_select(0, rows.clamp(max=self.num_rows - 1)).float()
        return masked_zeros(vectors, rows, self.num_rows)

    @torch.no_grad()
    def update(self, rows: Any, gradient: Any, update: Update) -> None:
        """Train rows, which may repeat, with the gradient of each position."""
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
        new, new_slots = update(table.index_select(0, touched), sums[:-1], slots, iteration, touched)
        table.index_copy_(0, touched, new)
        for name, slot in self.slots.items():
            slot.value.index_copy_(0, touched, new_slots[name])

    @torch.no_grad()
    def write(self, variable: keras.Variable, rows: Any, values: Any) -> None:
        """See `BaseRowStore.write`."""
        variable.value.index_copy_(0, rows.long(), values)


def fill(shape: tuple[int, ...], dtype: str, blocks: Iterable[tuple[int, Any]]) -> Any:
    """One array of rows from `(first row, block)` pairs, without a second copy."""
    values: Any = None
    for start, block in blocks:
        if values is None:
            values = torch.empty(shape, dtype=block.dtype, device=block.device)
        values[start : start + len(block)] = block
    return values
