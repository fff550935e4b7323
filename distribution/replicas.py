"""What the copies of a training step that each see a part of the batch add up.

Under `torch.distributed` every process runs the Python of a layer on its own rows. A sum over the rows of the batch
goes through `total` there, and a mean over them through `ratio`, so that the batch of all processes counts. On JAX a
layer sees the whole batch, wherever its rows lie, and nothing here changes a tensor. Several processes of JAX have rows
of their own on the host; NumPy arrays are therefore brought together there, too.

All copies must call these functions, in the same order.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from .processes import rank, world_size


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
        value: tensor or array, of one shape in all copies.

    Example:

    >>> float(total(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    if _lies_on_hosts(value):
        return gather(value).sum(axis=0, dtype=value.dtype)
    if replica_count() == 1:
        return value
    import torch

    summed = ops.convert_to_tensor(value).detach().clone()
    # Keras runs a model without values, on the device "meta", to find its shapes.
    if not summed.is_meta:
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


def ratio(numerator: Any, denominator: Any) -> Any:
    """A sum over rows divided by another one, such as a loss by the number of rows; 0 where the divisor is not above 0.

    The value is that of the rows of all copies, so that a formula may use it in any way. The gradient is that of this
    copy's rows, divided by the mean of the copies' divisors: averaged over the copies, it is that of all rows.

    Args:
        numerator: scalar, summed over the rows of this copy.
        denominator: scalar of the same dtype, likewise. No gradient passes through it.

    Example:

    >>> float(ratio(keras.ops.convert_to_tensor(3.0), keras.ops.convert_to_tensor(2.0)))
    1.5
    """
    tensorflow = keras.backend.backend() == "tensorflow"
    count, add_up = _mirrored_sum() if tensorflow else (replica_count(), total)
    if count == 1:
        return numerator / ops.where(denominator > 0, denominator, 1.0)
    over, under = ops.unstack(add_up(ops.stop_gradient(ops.stack([numerator, denominator]))), 2)
    under = ops.where(under > 0, under, 1.0)
    return over / under + (numerator - ops.stop_gradient(numerator)) * count / under


def scaled(loss: Any) -> Any:
    """A loss over the number of `tf.distribute` replicas, which add up their gradients where others average them.

    Args:
        loss: scalar, as `ratio` gives it.

    Example:

    >>> float(scaled(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    if keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    count = tf.distribute.get_strategy().num_replicas_in_sync
    return loss / count if count > 1 else loss


def _mirrored_sum() -> tuple[int, Callable[[Any], Any]]:
    """The number of `tf.distribute` replicas that run this step, and what adds a tensor up over them."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # There is none while Keras runs a model without values, to find its shapes.
    count = context.num_replicas_in_sync if context is not None else 1
    return count, lambda value: context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather(value: Any) -> Any:
    """The values of all copies, stacked in the order of their ranks: `(copies, ...)`. No gradient passes through it.

    Args:
        value: see `total`.

    Example:

    >>> gather(keras.ops.convert_to_tensor([3.0])).shape[0]
    1
    """
    if _lies_on_hosts(value):
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(value))
    value = ops.expand_dims(ops.convert_to_tensor(value), 0)
    count = replica_count()
    if count == 1:
        return value
    mine = ops.reshape(ops.arange(count) == rank(), (-1, *[1] * (len(value.shape) - 1)))
    return total(ops.where(mine, value, ops.zeros_like(value)))


def gather_rows(value: Any) -> Any:
    """The rows of all copies, in the order of their ranks. No gradient passes through it.

    Args:
        value: tensor or array `(rows, ...)`; the numbers of rows may differ.

    Example:

    >>> gather_rows(keras.ops.convert_to_tensor([3.0, 4.0])).shape[0]
    2
    """
    if _lies_on_hosts(value):
        numbers = gather(np.asarray(len(value)))
        padded = np.zeros((numbers.max(), *value.shape[1:]), value.dtype)
        padded[: len(value)] = value
        return np.concatenate([part[:number] for part, number in zip(gather(padded), numbers, strict=True)])
    if replica_count() == 1:
        return value
    import torch

    value = ops.convert_to_tensor(value).detach()
    if value.is_meta:
        return value
    sizes = gather(len(value)).tolist()
    padded = value.new_zeros((max(sizes), *value.shape[1:]))
    padded[: len(value)] = value
    parts = [torch.empty_like(padded) for _ in sizes]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def of_first(value: Any) -> Any:
    """The first copy's value, in all of them. No gradient passes through it.

    Args:
        value: see `total`.

    Example:

    >>> float(of_first(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    if _lies_on_hosts(value):
        return gather(value)[0]
    if replica_count() == 1:
        return value
    import torch

    received = ops.convert_to_tensor(value).detach().clone()
    if not received.is_meta:
        torch.distributed.broadcast(received, 0)
    return received


def _lies_on_hosts(value: Any) -> bool:
    """Whether a value is one of several that the processes of JAX have outside of a step."""
    return keras.backend.backend() == "jax" and isinstance(value, np.ndarray) and world_size() > 1


@contextlib.contextmanager
def together(what: str) -> Iterator[None]:
    """Raise in all copies if one of them raises inside, so that the others do not wait for it.

    Nothing inside may call a function of this module.

    Args:
        what: what they do together, as the subject of a sentence.

    Raises:
        RuntimeError: in the copies that have raised nothing themselves.

    Example:

    >>> with together("The example"):
    ...     answer = 42
    """
    if world_size() == 1:
        yield
        return
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    failed = [number for number, flag in enumerate(gather(np.asarray(float(error is not None))).tolist()) if flag]
    if error is not None:
        raise error
    if failed:
        raise RuntimeError(f"{what} does not start, since it raised an error in the process of rank {failed[0]}.")


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
    """Raise if a training step runs in several replicas of `tf.distribute`.

    Args:
        what: what cannot train in several replicas, as the subject of a sentence.
        why: a sentence that says what would go wrong.
        strategy: see `found_replicas`. Defaults to `None`.

    Raises:
        RuntimeError: if there are several replicas.

    Example:

    >>> refuse_replicas("This layer", "Its codebooks would drift apart.")
    """
    found = found_replicas(strategy) if keras.backend.backend() == "tensorflow" else None
    if found is not None:
        raise RuntimeError(
            f"{what} trains in one replica. Received: {found}. {why} Train in one replica, or on several devices with "
            "another backend: KERAS_BACKEND=jax and keras.distribution.DataParallel, or KERAS_BACKEND=torch and "
            "torchrun."
        )
