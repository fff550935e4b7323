"""What the copies of a training step that each see a part of the batch add up.

Under `torch.distributed` every process runs the Python of a layer on its own rows. A sum over the rows of the batch
goes through `total` there, and a divisor of a mean through `mean`, so that the batch of all processes counts. On JAX a
layer sees the whole batch, wherever its rows lie, and both change nothing.
"""

from typing import Any

import keras

from .processes import world_size


def replica_count() -> int:
    """Number of copies of a training step that each see a part of the batch: the processes under torch, else 1.

    Example:

    >>> replica_count()
    1
    """
    return world_size() if keras.backend.backend() == "torch" else 1


def total(value: Any) -> Any:
    """Sum of a tensor over the copies, the same in each of them. No gradient passes through it.

    Args:
        value: tensor, of one shape in all copies, which must all call this, in the same order.

    Example:

    >>> float(total(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    if replica_count() == 1:
        return value
    import torch

    summed = torch.as_tensor(value).detach().clone()
    torch.distributed.all_reduce(summed)
    return summed


def mean(value: Any) -> Any:
    """Mean of a tensor over the copies, see `total`.

    A copy divides the sum of its rows' losses by the mean of the numbers of rows. Gradients that are averaged over the
    copies, as torch's `DistributedDataParallel` does, are then those of the whole batch.

    Args:
        value: see `total`.

    Example:

    >>> float(mean(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    count = replica_count()
    return value if count == 1 else total(value) / count


def found_replicas(strategy: Any = None) -> str | None:
    """What splits a batch among copies of the model, in words; `None` if there is one copy.

    `tf.distribute` and `torch.distributed` run the Python of a layer once per replica, on that replica's rows. What a
    layer then writes by itself (codebooks, rows of a fused table) differs from replica to replica. JAX's
    `keras.distribution` is not among them: there a layer sees the whole batch, wherever its rows lie.

    Args:
        strategy: the `tf.distribute` strategy that a model was made under. `None` takes the present one.
            Defaults to `None`.

    Example:

    >>> found_replicas() is None
    True
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = strategy if strategy is not None else tf.distribute.get_strategy()
        count = strategy.num_replicas_in_sync
        return f"tf.distribute.{type(strategy).__name__} with {count} replicas" if count > 1 else None
    if keras.backend.backend() == "torch":
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            count = torch.distributed.get_world_size()
            return f"torch.distributed with {count} processes" if count > 1 else None
    return None


def found_devices() -> str | None:
    """Like `found_replicas`, but JAX's `keras.distribution` over several devices counts too.

    Example:

    >>> found_devices() is None
    True
    """
    distribution = keras.distribution.distribution()
    if distribution is not None and distribution.device_mesh.devices.size > 1:
        return f"keras.distribution.{type(distribution).__name__} over {distribution.device_mesh.devices.size} devices"
    return found_replicas()


def refuse_replicas(what: str, why: str, strategy: Any = None) -> None:
    """Raise if a training step runs in several copies.

    Args:
        what: what cannot train in several copies, as the subject of a sentence.
        why: a sentence that says what would go wrong.
        strategy: see `found_replicas`. Defaults to `None`.

    Raises:
        RuntimeError: if there are several replicas.

    Example:

    >>> refuse_replicas("This layer", "Its codebooks would drift apart.")
    """
    found = found_replicas(strategy)
    if found is not None:
        raise RuntimeError(
            f"{what} trains in one replica. Received: {found}. {why} Train in one process on one device, or with "
            "KERAS_BACKEND=jax, where keras.distribution.DataParallel trains on several devices as on one."
        )
