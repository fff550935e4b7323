"""Requests one after the other."""

import time
from collections.abc import Callable
from typing import Any


def timed_calls(call: Callable[[], Any], count: int) -> list[float]:
    """Seconds of each of `count` calls; a call ends when its scores are on the host."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds
