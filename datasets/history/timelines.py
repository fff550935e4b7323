"""The events before each row, users by users."""

from typing import NamedTuple

import numpy as np

from .event_store import Events

# The time of an event of which it is only known that it lies before the log.
UNKNOWN_TIME = -(2**62)
NO_ACTION = -1


class Timelines(NamedTuple):
    """The events of some users in the order of time, and which of them each row sees.

    Args:
        events: the events, one user after the other.
        first: place of the first event that each row sees.
        stop: place after the last event that each row sees.
        kept_first: place of the first event of each user that later rows can see.
        kept: how many events of each user later rows can see.
    """

    events: Events
    first: np.ndarray
    stop: np.ndarray
    kept_first: np.ndarray
    kept: np.ndarray


def timelines(counts: np.ndarray, stored: Events, user: np.ndarray, rows: Events, length: int) -> Timelines:
    """The last events that lie strictly before each row.

    Rows of one time see neither each other nor themselves. The same item at the same time is one event, with the
    strongest of its actions, wherever the rows stand.

    Args:
        counts: how many stored events each user has.
        stored: these, one user after the other, each user's in the order of time.
        user: the user of each row, numbers below `len(counts)`; every user has a row.
        rows: the rows; `kind` is `NO_ACTION` where nothing happened. The rows of a user stand in the order of time,
            none before a stored event of the user.
        length: largest number of events that a row sees.

    Example:
    >>> rows = Events(np.array([1, 2, 2, 3]), np.array([7, 8, 9, 7]), np.array([0, 0, -1, 0]))
    >>> found = timelines(np.array([0]), Events.empty(), np.zeros(4, int), rows, length=2)
    >>> [found.events.item[a:b].tolist() for a, b in zip(found.first, found.stop)]
    [[], [7], [7], [7, 8]]
    """
    users = len(counts)
    all_users = np.concatenate([np.repeat(np.arange(users), counts), user])
    order = np.argsort(all_users, kind="stable")
    of, every = all_users[order], Events(*(np.concatenate(pair)[order] for pair in zip(stored, rows, strict=True)))
    changes = np.ones(len(of), bool)
    changes[1:] = (of[1:] != of[:-1]) | (every.time[1:] != every.time[:-1])
    moment = np.cumsum(changes) - 1
    moment_start = np.flatnonzero(changes)
    is_event = _merge_repeated(every, moment, len(moment_start))

    before = np.concatenate([[0], np.cumsum(is_event)])
    size = np.bincount(of, minlength=users)
    user_end = np.cumsum(size)
    user_first = before[user_end - size]
    seen = before[moment_start]  # events before each moment

    is_row = order >= len(stored.time)
    first, stop = np.empty(len(user), "int64"), np.empty(len(user), "int64")
    row = order[is_row] - len(stored.time)
    stop[row] = seen[moment[is_row]]
    first[row] = np.maximum(user_first[of[is_row]], stop[row] - length)
    # Later rows may have the time of the last one: they see the events before it, and may repeat events at it.
    kept_first = np.maximum(user_first, seen[moment[user_end - 1]] - length)
    return Timelines(every.at(np.flatnonzero(is_event)), first, stop, kept_first, before[user_end] - kept_first)


def _merge_repeated(every: Events, moment: np.ndarray, moments: int) -> np.ndarray:
    """Which elements are events once repeated ones are left out; the one that stays gets the strongest action."""
    is_event = every.kind != NO_ACTION
    together = np.bincount(moment[is_event], minlength=moments)
    tied = np.flatnonzero(is_event & (together[moment] > 1) & (every.time != UNKNOWN_TIME))
    if len(tied):
        places = tied[np.lexsort((every.item[tied], moment[tied]))]
        new = np.ones(len(places), bool)
        new[1:] = (moment[places][1:] != moment[places][:-1]) | (every.item[places][1:] != every.item[places][:-1])
        heads = np.flatnonzero(new)
        every.kind[places[heads]] = np.minimum.reduceat(every.kind[places], heads)
        is_event[places[~new]] = False
    return is_event
