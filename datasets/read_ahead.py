"""Results that a thread computes before they are asked for."""

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class ReadAhead(Generic[Key, Result]):
    """A function whose next results a thread computes meanwhile.

    The caller guesses which keys come next. The thread follows the guesses while the last one was right; a wrong guess
    costs time and never gives a wrong result. Several threads may call; each result is handed out once.

    Args:
        function: a pure function of its key.
        count: results to hold ready; with 0 there is no thread.

    Example:
    >>> square = ReadAhead(lambda n: n * n, count=2)
    >>> [square(n, following=range(n + 1, 4)) for n in range(4)]
    [0, 1, 4, 9]
    """

    def __init__(self, function: Callable[[Key], Result], count: int) -> None:
        self._function = function
        self._count = count
        self._ready: dict[Key, Future[Result]] = {}
        self._expected: Key | None = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grouprank") if count else None

    def __call__(self, key: Key, following: Iterable[Key]) -> Result:
        """The result of `key`; the first of the keys `following` are computed ahead."""
        if self._pool is None:
            return self._function(key)
        guesses = list(islice(following, self._count))
        with self._lock:
            found = self._ready.pop(key, None)
            held, self._ready = self._ready, {}
            for later in guesses if key == self._expected else ():
                self._ready[later] = held.pop(later) if later in held else self._pool.submit(self._function, later)
            self._expected = guesses[0] if guesses else None
        for future in held.values():
            future.cancel()
        return self._function(key) if found is None else found.result()
