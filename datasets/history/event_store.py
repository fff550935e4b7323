"""The events of many users, in one array a column."""

from typing import NamedTuple

import numpy as np

_FIRST_ROOM = 1024


class Events(NamedTuple):
    """Events one after the other.

    Args:
        time: microseconds since 1970, int64.
        item: number of the item, int32.
        kind: number of the action, int8.
    """

    time: np.ndarray
    item: np.ndarray
    kind: np.ndarray

    def at(self, places: np.ndarray) -> "Events":
        """The events at some places."""
        return Events(*(column[places] for column in self))

    @classmethod
    def empty(cls, length: int = 0) -> "Events":
        """Room for events."""
        return cls(np.empty(length, "int64"), np.empty(length, "int32"), np.empty(length, "int8"))


class EventStore:
    """Holds a few events for each of many users.

    New events of a user replace the old ones and are written behind all others. When the arrays are full, the live
    events move to the front, and the arrays double where more than half of them is live. Storing therefore takes time
    in proportion to what is stored, however many other users there are.

    Example:
    >>> store = EventStore()
    >>> events = Events(np.array([5, 7, 6]), np.array([1, 2, 1], "int32"), np.zeros(3, "int8"))
    >>> store.put(np.array([0, 3]), np.array([2, 1]), events)
    >>> counts, found = store.take(np.array([3, 1, 0]))
    >>> counts.tolist(), found.time.tolist()
    ([1, 0, 2], [6, 5, 7])
    """

    def __init__(self) -> None:
        self._events = Events.empty(_FIRST_ROOM)
        self._end = 0
        self._first = np.zeros(0, "int64")
        self._count = np.zeros(0, "int64")

    def take(self, users: np.ndarray) -> tuple[np.ndarray, Events]:
        """How many events each of some users has, and these one after the other.

        Args:
            users: numbers of users.
        """
        self._know(users)
        counts = self._count[users]
        return counts, self._events.at(ranges(self._first[users], counts))

    def put(self, users: np.ndarray, counts: np.ndarray, events: Events) -> None:
        """Replace the events of some users.

        Args:
            users: numbers of users, each once.
            counts: how many events each has from now on.
            events: these, one after the other.
        """
        self._know(users)
        length = len(events.time)
        if self._end + length > len(self._events.time):
            self._make_room(length)
        for column, new in zip(self._events, events, strict=True):
            column[self._end : self._end + length] = new
        self._first[users] = self._end + np.cumsum(counts) - counts
        self._count[users] = counts
        self._end += length

    @property
    def users(self) -> np.ndarray:
        """The users that have events, in the order of their numbers."""
        return np.flatnonzero(self._count)

    def _know(self, users: np.ndarray) -> None:
        needed = int(users.max()) + 1 if len(users) else 0
        if needed > len(self._count):
            more = max(needed, 2 * len(self._count)) - len(self._count)
            self._first, self._count = np.pad(self._first, (0, more)), np.pad(self._count, (0, more))

    def _make_room(self, length: int) -> None:
        live = self.users
        counts, events = self.take(live)
        room = len(self._events.time)
        while len(events.time) + length > room // 2:
            room *= 2
        self._events = Events.empty(room)
        self._end = len(events.time)
        for column, old in zip(self._events, events, strict=True):
            column[: self._end] = old
        self._first[live] = np.cumsum(counts) - counts


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers `first, first + 1, …` of several ranges, one after the other.

    Example:
    >>> ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - (ends - counts), counts)
