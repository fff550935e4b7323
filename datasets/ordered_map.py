"""A function over a stream, on several threads, in the order of the stream."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """As `map`, with `workers` threads working ahead.

    Results come in the order of the items. So do errors, also those of the stream itself: every result from before an
    error is returned first. No more than `workers` items and results are held at a time, so memory does not grow with
    the stream. One worker is `map` itself, without a thread.

    Threads save time where the function works outside of Python, as polars and NumPy do. They end
    with the iteration; close the iterator (`contextlib.closing`) where it may be left halfway.

    Args:
        function: called with one item; on several threads at once, so it may change nothing that they share.
        items: the stream, read from one thread.
        workers: number of threads.

    Example:
    >>> list(ordered_map(len, ["a", "bb", "ccc"], workers=2))
    [1, 2, 3]
    """
    if workers == 1:
        yield from map(function, items)
        return
    stream = iter(items)
    error: Exception | None = None
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="grouprank") as pool:
        try:
            while True:
                try:
                    item = next(stream)
                except StopIteration:
                    break
                except Exception as found:
                    error = found
                    break
                pending.append(pool.submit(function, item))
                del item  # a chunk is held by its task alone
                if len(pending) == workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
    if error is not None:
        raise error
