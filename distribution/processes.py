"""Which of several processes this one is."""

import keras


def rank() -> int:
    """Number of this process among those that train together, from 0 on; 0 for one process alone.

    It is the rank of `torch.distributed` under torch and the process index of `jax.distributed` under JAX. Give it to
    `BatchLoader(rank=...)`, and write files where it is 0.

    Example:

    >>> rank()
    0
    """
    if keras.backend.backend() == "torch":
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return int(torch.distributed.get_rank())
    if keras.backend.backend() == "jax":
        import jax

        return int(jax.process_index())
    return 0


def world_size() -> int:
    """Number of processes that train together, 1 for one process alone.

    Example:

    >>> world_size()
    1
    """
    if keras.backend.backend() == "torch":
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return int(torch.distributed.get_world_size())
    if keras.backend.backend() == "jax":
        import jax

        return int(jax.process_count())
    return 1
