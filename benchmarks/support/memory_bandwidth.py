"""How fast this machine's memory is."""

import dataclasses
import time

import numpy as np


@dataclasses.dataclass(frozen=True)
class MemoryBandwidth:
    """How fast this machine's memory is. Made by `measure_memory_bandwidth`.

    Args:
        copy: bytes per second of a large copy, read and written bytes together.
        gather: bytes per second of reading rows of 64 bytes at random places of a large table.
    """

    copy: float
    gather: float


def measure_memory_bandwidth(megabytes: int = 512, repeats: int = 5) -> MemoryBandwidth:
    """Measure it with NumPy on one thread, as the best of several repeats.

    Args:
        megabytes: size of the array, far above the caches. Defaults to `512`.
        repeats: how often each is timed. Defaults to `5`.
    """
    source = np.ones((megabytes * 2**20 // 64, 16), "float32")
    target = np.zeros_like(source)
    rows = np.random.default_rng(0).integers(0, len(source), 1 << 18)
    out = np.empty((len(rows), 16), "float32")

    def best(action: object) -> float:
        assert callable(action)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        return min(times)

    copied = best(lambda: np.copyto(target, source))
    gathered = best(lambda: np.take(source, rows, axis=0, out=out, mode="clip"))
    return MemoryBandwidth(copy=2 * source.nbytes / copied, gather=out.nbytes / gathered)
