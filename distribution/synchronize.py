"""A Keras model that trains in several processes of torch as in one."""

import zlib
from typing import Any

import keras

from . import replicas
from .processes import rank, world_size

# Spreads the ranks' seeds over 31 bits: Keras counts a seed up at each step, so that neighbours would soon draw alike.
_SPREAD = 0x9E3779B1


def synchronize(model: keras.Model) -> None:
    """Let a Keras model train in several processes of torch, each on its own rows, as one process does on all rows.

    All processes get the weights of the first one, and from then on every backward pass averages the gradients over the
    processes. So the optimizer of each process takes the same step. Layers that draw random numbers, such as `Dropout`,
    draw others in each process. `grouprank.models.CTRModel.fit` calls it by itself. Call it before `fit` of a model
    of your own, in every process; torch's `DistributedDataParallel` is not needed then. With one process it does
    nothing.

    Each process passes its own rows to `fit`: all the same number of them, in batches of the same size. A loss that is
    a mean over the rows of a batch is then the one of all processes' rows. The losses of grouprank are so even where
    labels are missing. The metrics that Keras prints for a model of your own are those of the process' own rows.

    Args:
        model: a built model.

    Raises:
        ValueError: if the model is not built, or not the same in all processes.
        RuntimeError: if a layer would take statistics of a part of the batch (`BatchNormalization`).

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> synchronize(model)
    """
    if replicas.replica_count() == 1:
        return
    if not model.built:
        raise ValueError(f"`synchronize` needs a built model. {model.name!r} has not seen its inputs' shapes yet.")
    _refuse_batch_statistics(model)
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    shared = [variable for variable in variables if not getattr(variable, "of_this_process", False)]
    _check_alike([(variable.path.split("/")[-1], tuple(variable.shape)) for variable in shared])
    import torch

    for variable in shared:
        # In place, since a table may be large.
        torch.distributed.broadcast(variable.value.detach(), 0)
    for generator in _seed_generators(model):
        generator.state.assign(generator.state + keras.ops.cast([rank() * _SPREAD % 2**30, 0], generator.state.dtype))
    if rank() > 0:
        # Layers without a seed of their own draw from torch's generator, which a script seeds alike everywhere.
        torch.manual_seed((torch.initial_seed() + rank() * _SPREAD) % 2**63)
    for variable in model.trainable_variables:
        _average_gradient(variable.value)


def _average_gradient(parameter: Any) -> None:
    """Average a parameter's gradient over the processes whenever a backward pass has made it."""
    if getattr(parameter, "averaged_by_grouprank", False):
        return

    def average(of: Any) -> None:
        of.grad.copy_(replicas.mean(of.grad))

    parameter.register_post_accumulate_grad_hook(average)
    parameter.averaged_by_grouprank = True


def _seed_generators(model: keras.Model) -> list[keras.random.SeedGenerator]:
    found = [getattr(layer, "seed_generator", None) for layer in model._flatten_layers()]
    return [generator for generator in found if isinstance(generator, keras.random.SeedGenerator)]


def _refuse_batch_statistics(model: keras.Model) -> None:
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    names = sorted(layer.name for layer in layers if layer.trainable)
    if names:
        raise RuntimeError(
            f"BatchNormalization takes the mean and variance of a process' own rows. Received: the layers {names}, in "
            f"torch.distributed with {world_size()} processes. Use LayerNormalization, or train with "
            "KERAS_BACKEND=jax and keras.distribution.DataParallel, where a layer sees the whole batch."
        )


def _check_alike(shapes: list[tuple[str, tuple[int, ...]]]) -> None:
    sums = replicas.gather(float(zlib.crc32(repr(shapes).encode()) % 2**24))
    if float(sums.min()) != float(sums.max()):
        raise ValueError(
            "The processes have different models: the shapes of their weights differ. Build and compile the same model "
            "in each of them."
        )
