"""How rows travel between the devices that keep them and the devices that look them up."""

from typing import Any

from ....distribution.replicas import found_devices

INSTEAD = (
    "use an embedding that the optimizer of `compile` trains (`EmbeddingCollection`; `embedding_optimizer=None` in a "
    "CTRModel)"
)


class Exchange:
    """Brings each row from the device that keeps it to the devices that look it up, and its gradient back.

    Here one device does both, so nothing moves. A table that is spread over several devices needs another exchange
    with these methods; its stores, optimizers and models stay as they are. All methods take and return tensors of the
    backend and may run inside a compiled step.

    Example:

    >>> exchange = Exchange()
    >>> rows, route = exchange.request([3, 1, 3])
    >>> exchange.reply([0.3, 0.1, 0.3], route)
    [0.3, 0.1, 0.3]
    """

    def check(self) -> None:
        """Raise if a step runs on devices that this exchange does not know: a row needs the whole batch's gradient."""
        found = found_devices()
        if found is not None:
            raise RuntimeError(
                f"A fused embedding table trains on one device. Received: {found}. Its rows would be updated from each "
                "device's part of the batch alone. On JAX and torch deal its rows over the devices: set up the "
                f"distribution, then build it with placement='rows' (`table_placement` in a CTRModel). Or {INSTEAD}."
            )

    def request(self, rows: Any) -> tuple[Any, Any]:
        """Send row numbers of the table to the devices that keep these rows.

        Args:
            rows: the rows that this device looks up, repeats among them; `num_rows` means "no row".

        Returns:
            The rows of this device's store that the devices ask for, and the route that their vectors take back.
        """
        return rows, ()

    def reply(self, vectors: Any, route: Any) -> Any:
        """Send the vectors of the rows asked for back; returns those of this device's `rows`, in their order."""
        return vectors

    def return_gradient(self, gradient: Any, route: Any) -> Any:
        """Send the gradient of the replied vectors; returns that of the rows asked for, in their order."""
        return gradient

    def total(self, value: Any) -> Any:
        """Sum of a number over the devices, such as the squared length of the whole table's gradient."""
        return value
