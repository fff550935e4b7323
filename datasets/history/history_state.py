"""What each user acted on so far: read before it is extended."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ..raw_files.times import guess_unit, microseconds
from .event_store import Events, EventStore, ranges
from .joined_slices import joined_ages, joined_slices
from .numbering import Numbering
from .timelines import NO_ACTION, UNKNOWN_TIME, timelines

ACTION = "action"
_NEVER = np.iinfo("int64").min


class HistoryState:
    """The last items that each user acted on, carried from one chunk of a log to the next.

    `update` adds to each row the items that its user had acted on before it, and then remembers what the rows say.
    Use it for a log that arrives in parts; `histories` does the same for a dataset that is prepared as a whole.

    Three columns are added, which run in parallel, oldest event first: `history` holds the items, `history_action` the
    kinds of the actions and `history_age` their ages. They are strings with a separator, as a `SequenceColumn` reads.

    - A row sees the events of its user that lie strictly before its own time. So it sees neither itself nor what
      happened at the same time, in whatever order such rows stand and wherever a chunk ends.
    - An event is a row of which one of `actions` came true: its label is above 0. Labels that are null or NaN did
      not. The kind of an event is the first of `actions` that came true, so list the strongest first.
    - The same item at the same time is one event with the strongest of its actions, so repeated rows count once.
    - An age is two digits k: the event is 2^k to 2^(k+1) seconds old; `00` holds what is younger, too, and `--` is an
      event before the log whose time is not known. A server computes it as `f"{int(log2(max(age, 1))):02d}"`.
    - Rows with an empty or null key have an empty history, and rows without an item are no events.

    An event counts from the time of its row. If its label becomes known much later, the columns hold what a server
    could not know yet; so take labels that are known soon. To read without remembering, as for a request, pass rows
    whose labels are null.

    Args:
        key: the column that says whose rows they are.
        items: the column of items, integers or strings.
        time: the column of times: numbers, dates, or strings of ISO 8601 dates. The rows of each user must come in the
            order of time; those of different users may come in any order.
        actions: the label columns that count, the strongest first.
        length: how many events a row sees at most.
        name: name of the column of items, and the beginning of the other two. Defaults to `"history"`.
        start: what happened before the first row: a frame with the columns `key`, `items`, `time` and `action`, in the
            order of time. An action may be another word than `actions`, and is then weaker than these. A null `time`
            says that it is not known, except that it lies before all rows of the user. `events()` returns such a frame.
            Defaults to `None`, nothing.
        unit: what numbers in `time` count since 1970: `"s"`, `"ms"`, `"us"` or `"ns"`, or a spelling such as
            `"%Y%m%d%H"`. Defaults to `None`: by the size of the first one.
        separator: what stands between items; no item may contain it. Defaults to `","`.

    Raises:
        ValueError: on a column that is missing or of a wrong type, a row without a time, or a row that comes after a
            later one of its user; names the first such row. The state is then what it was before.

    Example:
    >>> state = HistoryState("user", "ad", "time", ["buy", "click"], length=2)
    >>> day = pl.DataFrame({"user": [1, 1, 1], "ad": ["a", "b", "c"], "time": [10, 20, 90],
    ...                     "click": [1, 1, 0], "buy": [0, 1, 0]})
    >>> state.update(day)["history"].to_list()
    ['', 'a', 'a,b']
    >>> state.update(pl.DataFrame({"user": [1], "ad": ["d"], "time": [120], "click": [1], "buy": [0]})).rows()
    [(1, 'd', 120, 1, 0, 'a,b', 'click,buy', '06,06')]
    """

    def __init__(
        self,
        key: str,
        items: str,
        time: str,
        actions: Sequence[str],
        length: int,
        name: str = "history",
        start: pl.DataFrame | None = None,
        unit: str | None = None,
        separator: str = ",",
    ) -> None:
        if isinstance(actions, str) or not actions or len(set(actions)) < len(actions):
            raise ValueError(f"`actions` must be a list of different label columns. Received: actions={actions!r}.")
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"`length` must be a positive integer. Received: length={length!r}.")
        if ACTION in (key, items, time):
            raise ValueError(f"`key`, `items` and `time` may not be {ACTION!r}, a column of `events()`. Rename it.")
        self._key, self._items, self._time = key, items, time
        self._actions, self._length, self._unit, self._separator = tuple(actions), length, unit, separator
        self._kinds = list(actions)
        self.names = (name, f"{name}_{ACTION}", f"{name}_age")
        self._user_numbers: Numbering | None = None
        self._item_numbers = Numbering(pl.String())
        self._store = EventStore()
        self._last = np.empty(0, "int64")
        if start is not None:
            self._begin(start)

    def update(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows with three more columns, the histories before them; then their events are remembered.

        Args:
            frame: rows with the columns `key`, `items`, `time` and `actions`.
        """
        self._check_columns(frame, [self._key, self._items, self._time, *self._actions])
        taken = [name for name in self.names if name in frame.columns]
        if taken:
            raise ValueError(f"The rows have columns {taken} already. Pass another `name`.")
        if self._unit is None:
            self._unit = guess_unit(frame[self._time])
        rows = self._rows(frame, self._kinds_of(frame), self._unit)
        has_key, users = self._users(frame[self._key])
        first, stop = np.zeros(len(frame), "int64"), np.zeros(len(frame), "int64")
        events, first[has_key], stop[has_key] = self._extend(users, rows.at(has_key), has_key)
        counts = stop - first
        columns = (
            joined_slices(self._item_numbers.values.gather(events.item), first, stop, self._separator),
            joined_slices(pl.Series(self._kinds).gather(events.kind), first, stop, self._separator),
            joined_ages(rows.time, events.time[ranges(first, counts)], counts, self._separator),
        )
        return frame.with_columns(column.alias(name) for name, column in zip(self.names, columns, strict=True))

    def events(self) -> pl.DataFrame:
        """What later rows may still see, as `start` takes it.

        These are at most `length` events of each user, and those of its last time. Written as Parquet they are handed
        on to another process or the next period. They do not hold the times of rows that were no events, so a following
        state cannot refuse rows that lie between the last event and such a row.
        """
        users = self._store.users
        counts, events = self._store.take(users)
        keys = pl.Series(dtype=pl.String) if self._user_numbers is None else self._user_numbers.values
        time = pl.Series(events.time).cast(pl.Datetime("us"))
        return pl.DataFrame(
            {
                self._key: keys.gather(np.repeat(users, counts)),
                self._items: self._item_numbers.values.gather(events.item),
                self._time: time.set(pl.Series(events.time == UNKNOWN_TIME), None),
                ACTION: pl.Series(self._kinds).gather(events.kind),
            }
        )

    def _begin(self, start: pl.DataFrame) -> None:
        self._check_columns(start, [self._key, self._items, self._time, ACTION])
        found = start[ACTION]
        wrong = found.filter(found.is_null() | found.str.contains(self._separator, literal=True))
        if len(wrong):
            raise ValueError(
                f"`start`: {ACTION!r} must be text without the separator {self._separator!r}. Received: {wrong[0]!r}."
            )
        self._kinds += sorted(set(found.unique().to_list()) - set(self._kinds))
        start = start.filter(pl.col(self._key).is_not_null())
        kinds = start[ACTION].replace_strict(self._kinds, range(len(self._kinds)), return_dtype=pl.Int8).to_numpy()
        unit = self._unit or guess_unit(start[self._time])
        rows = self._rows(start, kinds, unit, unknown_times=True)
        has_key, users = self._users(start[self._key])
        self._extend(users, rows.at(has_key), has_key)

    def _extend(self, numbers: np.ndarray, rows: Events, places: np.ndarray) -> tuple[Events, np.ndarray, np.ndarray]:
        """Remember the rows' events; all events of their users, and from where to where each row sees them."""
        users, user = np.unique(numbers, return_inverse=True)
        last = self._last_times(users)
        self._check_order(user, rows.time, last, places)
        counts, stored = self._store.take(users)
        found = timelines(counts, stored, user, rows, self._length)
        self._store.put(users, found.kept, found.events.at(ranges(found.kept_first, found.kept)))
        np.maximum.at(last, user, rows.time)
        self._last[users] = last
        return found.events, found.first, found.stop

    def _last_times(self, users: np.ndarray) -> np.ndarray:
        """The time of the last row of each user."""
        needed = int(users.max()) + 1 if len(users) else 0
        if needed > len(self._last):
            more = max(needed, 2 * len(self._last)) - len(self._last)
            self._last = np.pad(self._last, (0, more), constant_values=_NEVER)
        return self._last[users]

    def _check_order(self, user: np.ndarray, time: np.ndarray, last: np.ndarray, places: np.ndarray) -> None:
        order = np.argsort(user, kind="stable")
        of, times = user[order], time[order]
        earlier = np.concatenate([[_NEVER], times[:-1]])
        new = np.concatenate([[True], of[1:] != of[:-1]])[: len(of)]
        earlier = np.where(new, last[of], earlier[: len(of)])
        late = order[times < earlier]
        if len(late):
            row = late.min()
            at = int(np.flatnonzero(order == row)[0])
            raise ValueError(
                f"Row {places[row]} is earlier than a row or an event that came before it, of the same {self._key!r}: "
                f"{_moment(times[at])} after {_moment(earlier[at])}. A history needs the rows of a user in the order "
                f"of {self._time!r}: sort the log by it, and leave out of `start` what is not before the first row."
            )

    def _users(self, keys: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """The places of the rows that have a key, and the numbers of their users."""
        kind = pl.Int64() if keys.dtype.is_integer() else pl.String()
        if not keys.dtype.is_integer() and keys.dtype not in (pl.String, pl.Categorical, pl.Enum):
            raise ValueError(f"The key {self._key!r} must hold integers or strings. Received: {keys.dtype}.")
        if self._user_numbers is None:
            self._user_numbers = Numbering(kind)
        before = self._user_numbers.values.dtype
        if kind != before:
            raise ValueError(f"The key {self._key!r} was {before} in earlier rows. Received: {keys.dtype}. Cast it.")
        keys = keys.cast(kind)
        known = keys.is_not_null() & (keys != "") if kind == pl.String else keys.is_not_null()
        return np.flatnonzero(known.to_numpy()), self._user_numbers(keys.filter(known))

    def _kinds_of(self, frame: pl.DataFrame) -> np.ndarray:
        kinds = np.full(len(frame), NO_ACTION, "int8")
        for number, action in reversed(list(enumerate(self._actions))):
            labels = frame[action]
            if not (labels.dtype.is_numeric() or labels.dtype in (pl.Boolean, pl.Null)):
                raise ValueError(f"The label column {action!r} must hold numbers. Received: {labels.dtype}.")
            kinds[labels.cast(pl.Float64).to_numpy() > 0] = number
        return kinds

    def _rows(self, frame: pl.DataFrame, kinds: np.ndarray, unit: str | None, unknown_times: bool = False) -> Events:
        times = microseconds(frame[self._time], unit)
        if times.null_count() and not unknown_times:
            row = int(times.is_null().to_numpy().argmax())
            raise ValueError(f"Row {row} has no time: {self._time!r} is {frame[self._time][row]!r}. Leave it out.")
        items = frame[self._items]
        if not (items.dtype.is_integer() or items.dtype in (pl.String, pl.Categorical, pl.Enum)):
            raise ValueError(f"The items {self._items!r} must hold integers or strings. Received: {items.dtype}.")
        texts = items.cast(pl.String)
        kinds = np.where((texts.is_not_null() & (texts != "")).fill_null(False).to_numpy(), kinds, NO_ACTION)
        is_event = kinds != NO_ACTION
        texts = texts.filter(pl.Series(is_event))
        torn = texts.filter(texts.str.contains(self._separator, literal=True))
        if len(torn):
            raise ValueError(
                f"The item {torn[0]!r} of {self._items!r} contains the separator {self._separator!r}. Pass another one."
            )
        numbers = np.full(len(frame), -1, "int32")
        numbers[is_event] = self._item_numbers(texts)
        return Events(times.fill_null(UNKNOWN_TIME).to_numpy(), numbers, kinds.astype("int8"))

    def _check_columns(self, frame: pl.DataFrame, needed: Sequence[str]) -> None:
        absent = [name for name in needed if name not in frame.columns]
        if absent:
            raise ValueError(f"A history needs the columns {absent}. Received: {frame.columns}.")


def _moment(time: int) -> str:
    return str(np.datetime64(int(time), "us"))
