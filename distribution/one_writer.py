"""Files that several processes make together and one of them writes."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras

from .processes import rank, world_size

_discarding = False


@contextlib.contextmanager
def one_writer(path: str | os.PathLike[str]) -> Iterator[str | os.PathLike[str]]:
    """Let every process save the same thing, and let the first one write the file.

    What is spread over the processes is collected while they save, so all of them must. The first one does not begin
    before all have come, so that each of them may look before whether the file exists. All leave the block together,
    when the file is there. In one process this does nothing.

    Args:
        path: of the file or folder.

    Yields:
        Where to save it: the path in the first process, and in the others a path of the same name in a folder that is
        removed.

    Example:

    >>> with one_writer("model.keras") as path:
    ...     print(path)
    model.keras
    """
    global _discarding
    if world_size() == 1:
        yield path
        return
    wait_for_all()
    if rank() == 0:
        yield path
    else:
        outer = _discarding
        with tempfile.TemporaryDirectory() as folder:
            _discarding = True
            try:
                yield Path(folder) / Path(path).name
            finally:
                _discarding = outer
    wait_for_all()


def discards() -> bool:
    """Whether what this process saves is thrown away, since another process writes it.

    Example:

    >>> discards()
    False
    """
    return _discarding


def wait_for_all() -> None:
    """Wait until every process is here.

    Example:

    >>> wait_for_all()
    """
    if world_size() == 1:
        return
    if keras.backend.backend() == "torch":
        import torch

        torch.distributed.barrier()
    else:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("grouprank")
