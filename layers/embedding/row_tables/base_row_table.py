"""What the fused tables of all backends have in common."""

import abc
from collections.abc import Callable
from typing import Any

from .exchange import INSTEAD, Exchange


class BaseRowTable(abc.ABC):
    """Looks rows up in a store, by way of an exchange, and trains them in the backward pass.

    A lookup changes nothing by itself.

    Args:
        layer: layer that gets what connects the table to the loss.
        store: keeps the rows of this device.
        exchange: brings them to where they are looked up.
    """

    def __init__(self, layer: Any, store: Any, exchange: Exchange) -> None:
        self.store, self.exchange = store, exchange

    def lookup(self, rows: Any, masked: bool) -> Any:
        """Rows as float32 `(positions, width)`; `masked` says that some may be "no row"."""
        asked, route = self.exchange.request(rows)
        return self.exchange.reply(self.store.gather(asked, masked), route)

    @abc.abstractmethod
    def train_lookup(
        self, rows: Any, masked: bool, update: Callable[..., Any], learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Rows, and a zero to add to the loss, by whose gradient the update knows how the loss was scaled.

        Args:
            rows: see `lookup`.
            masked: see `lookup`.
            update: new rows and slots, called with rows, gradient, slots, iteration, the rows' numbers, learning
                rate and loss scale.
            learning_rate: a tensor, or `None` if the optimizer follows a schedule.
            check: called by the backward pass; raises if the table cannot train as the model does.
        """

    def may_train(self) -> bool:
        """Whether a backward pass could follow."""
        return True


def refuse_second_lookup() -> None:
    """Raise: the update of a row needs all of its gradient."""
    raise RuntimeError(
        "A fused embedding table was looked up twice in one training step, so its rows would be updated from a part "
        f"of their gradient. Pass all ids of a step in one call (concatenate them), or {INSTEAD}."
    )


def refuse_accumulation(optimizer: Any) -> None:
    """Raise if the optimizer of `compile` collects gradients over several steps."""
    steps = getattr(getattr(optimizer, "inner_optimizer", optimizer), "gradient_accumulation_steps", None)
    if steps:
        raise RuntimeError(
            "A fused embedding table updates its rows at every batch and cannot wait for accumulated gradients. "
            f"Received: gradient_accumulation_steps={steps}. Leave it out (a fused table makes large batches cheap), "
            f"or {INSTEAD}."
        )
