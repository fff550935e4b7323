"""How many threads to work on."""

import os

import numpy as np


def worker_count(workers: int | None) -> int:
    """`workers` itself, or the cores that this process may use where it is `None`.

    Args:
        workers: a number of threads, or `None`.

    Raises:
        ValueError: if it is no positive integer.

    Example:
    >>> worker_count(3)
    3
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int | np.integer) or workers < 1:
        raise ValueError(f"`workers` must be an integer of at least 1 or None. Received: workers={workers!r}.")
    return int(workers)
