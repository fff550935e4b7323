"""Processes that must all come to the same place."""

import keras

from .processes import rank, world_size


def meet(what: str) -> None:
    """Wait until every process calls this, and raise an error if one does not.

    What the processes do together would else fail with words that do not say why, or run beside what the others do
    instead. Only gloo, by which processes of torch talk on CPUs, can tell who is missing; elsewhere nothing happens
    here. It waits as long as the process group allows, see `timeout` of `torch.distributed.init_process_group`.

    Args:
        what: what all processes must call, in words.

    Raises:
        RuntimeError: if a process has ended, or has not come when the time is over, in which case it is named.

    Example:

    >>> meet("this function")
    """
    if keras.backend.backend() != "torch" or world_size() == 1:
        return
    import torch

    if torch.distributed.get_backend() != "gloo":
        return
    try:
        torch.distributed.monitored_barrier(wait_all_ranks=True)
    except RuntimeError as error:
        # It ends with the time that was allowed, also where a process has ended before.
        found = str(error).partition(" in ")[0]
        raise RuntimeError(
            f"All {world_size()} processes must call {what}, not one of them alone. The process of rank {rank()} "
            f"called it and did not meet all others: {found}."
        ) from error
