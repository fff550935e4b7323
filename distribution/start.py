"""Joining the processes that a launcher has started."""

import os
import sys
import traceback
from typing import Any

import keras

from .end_process import end_process
from .processes import rank


def start() -> None:
    """Join the other processes, if a launcher has started several, and let models train in all of them together.

    Call it at the top of a script, before anything computes and before a model is made. `torchrun` starts the processes
    of torch, and `python -m grouprank.distribution.launch` those of JAX. Without a launcher nothing happens, so the
    same script runs in one process, too.

    Processes of torch talk by NCCL on GPUs and by gloo elsewhere. Those of JAX get a
    `keras.distribution.DataParallel` over the devices of all of them.

    Raises:
        RuntimeError: if `torchrun` started the process for another backend than torch. Each process would train a
            model of its own.

    Example:

    >>> start()
    """
    if keras.backend.backend() != "torch" and "TORCHELASTIC_RUN_ID" in os.environ:
        raise RuntimeError(
            f"torchrun starts processes of torch. Received: KERAS_BACKEND={keras.backend.backend()}. Set "
            "KERAS_BACKEND=torch, or start processes of JAX with `python -m grouprank.distribution.launch`."
        )
    if keras.backend.backend() == "torch" and "WORLD_SIZE" in os.environ:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group()
    if keras.backend.backend() == "jax" and "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
        keras.distribution.initialize()
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        sys.excepthook = _end_at_once
    if rank() > 0:
        # Progress is printed once.
        keras.config.disable_interactive_logging()


def _end_at_once(*error: Any) -> None:
    traceback.print_exception(*error)
    end_process(1)
