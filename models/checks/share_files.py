"""Callbacks that write the same files in several processes."""

import os
from collections.abc import Iterable

import keras

from ...distribution import rank, world_size
from ...distribution.one_writer import wait_for_all


def share_files(callbacks: Iterable[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Callbacks of Keras made fit for several processes, of which each has its own and all name the same files.

    A model's `save` and `save_weights` write in the first process alone. These callbacks also make folders, copy the
    earlier backup and remove the last one. The folders are made here, the first process copies and removes, and it
    removes when no other process writes any more.

    Args:
        callbacks: callbacks of this process.

    Returns:
        The callbacks to train with.

    Raises:
        ValueError: on an `OrbaxCheckpoint` in processes of torch, each of which would write a checkpoint of its own.

    Example:

    >>> share_files([keras.callbacks.ModelCheckpoint("model.keras")])[-1].filepath
    'model.keras'
    """
    callbacks = list(callbacks)
    if world_size() == 1:
        return callbacks
    for callback in callbacks:
        folder = ""
        if isinstance(callback, keras.callbacks.OrbaxCheckpoint) and keras.backend.backend() != "jax":
            raise ValueError(
                f"OrbaxCheckpoint writes from several processes with JAX alone. Received: it in {world_size()} "
                f"processes of {keras.backend.backend()}. Use ModelCheckpoint or BackupAndRestore."
            )
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            folder = str(callback.backup_dir)
            if rank():
                callback.delete_checkpoint = callback.double_checkpoint = False
        elif isinstance(callback, keras.callbacks.ModelCheckpoint):
            folder = os.path.dirname(callback.filepath)
        if folder and "{" not in folder and "://" not in folder:
            os.makedirs(folder, exist_ok=True)
    return [keras.callbacks.LambdaCallback(on_train_end=lambda logs=None: wait_for_all()), *callbacks]
