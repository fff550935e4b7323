"""Fused tables on PyTorch."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from .base_row_table import BaseRowTable, refuse_second_lookup
from .exchange import Exchange


class RowTable(BaseRowTable):
    """A table that an autograd function updates in place in its backward pass.

    The scalar `gradient_hook` is a parameter with a gradient, so that autograd runs the backward pass.
    """

    def __init__(self, layer: Any, store: Any, exchange: Exchange) -> None:
        super().__init__(layer, store, exchange)
        self._last_task = -1
        self._hook = layer.add_weight(
            name="gradient_hook", shape=(), initializer="zeros", dtype="float32", autocast=False
        )

    def _lookup_and_train(
        self, rows: Any, masked: bool, update: Callable[..., Any], learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Look rows up; autograd has the store train them with their gradient."""
        asked, route = self.exchange.request(rows)

        def train(gradient: Any, loss_scale: Any) -> None:
            check()
            # The number of the `backward()` that runs.
            task = torch._C._current_graph_task_id()
            if task == self._last_task:
                refuse_second_lookup()
            self._last_task = task
            rule = functools.partial(update, learning_rate=learning_rate, loss_scale=loss_scale)
            self.store.update(asked, self.exchange.return_gradient(gradient, route), rule)

        vectors = self.exchange.reply(self.store.gather(asked, masked), route)
        return _Gather.apply(self._hook.value, vectors, train)

    # The compiler of torch cannot trace a backward pass that writes to its inputs.
    train_lookup: Any = torch.compiler.disable(_lookup_and_train)


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
