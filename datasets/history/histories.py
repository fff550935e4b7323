"""A dataset whose rows know what their user acted on before them."""

import dataclasses
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ..dataset import Dataset
from ..kinds import CategoricalColumn, Column, GrowingColumn, HashedColumn, HashedSequenceColumn, SequenceColumn
from .history_state import HistoryState


def histories(
    table: Dataset,
    key: str = "user",
    *,
    items: str,
    actions: Sequence[str],
    length: int,
    time: str = "time",
    name: str = "history",
    start: pl.DataFrame | None = None,
    unit: str | None = None,
    separator: str = ",",
) -> Dataset:
    """A dataset with the last items that each row's user acted on before the row, as features.

    Three sequences are added on the user's side: `history` shares vocabulary and embeddings of the feature `items`, and
    `history_action` and `history_age` say for each of its items what the user did and how long ago. These two lie
    `beside` it: a model adds their embeddings to those of the items before an encoder reads them. All are made of raw
    columns in the order of time, before anything is fitted. So `prepare`, the export and a server treat them like any
    other `SequenceColumn`: a request brings the three strings, oldest item first, at most `length` items.
    `HistoryState` says which events a row sees, and how rows of one time, repeated rows and missing labels are taken.
    It also makes the columns for a log that arrives in parts, and for a server.

    The tokens of a sequence are strings, and so are those of a vocabulary that it shares. A `CategoricalColumn` or
    `GrowingColumn` of integers therefore becomes one of their decimal texts, and a request brings the item as text.

    The rows are read as a stream. Memory holds at most about 50 bytes for each event that later rows may see, `length`
    of them for a user, and each key and item once.

    Args:
        table: the dataset; `prepare` takes the result in its place. The rows of each user must come in the order of
            time.
        key: the column that says whose rows they are. Defaults to `"user"`.
        items: name of the feature that holds the item, a `CategoricalColumn`, `GrowingColumn` or `HashedColumn`.
        actions: the label columns that count, the strongest first; an event's kind is the first that came true.
        length: how many events a row sees at most.
        time: the column of times. Defaults to `"time"`.
        name: name of the sequence of items, and the beginning of the other two. Defaults to `"history"`.
        start: what happened before the first row, see `HistoryState`. Defaults to `None`, nothing.
        unit: what numbers in `time` count, see `HistoryState`. Defaults to `None`: by the size of the first one.
        separator: what stands between items. Defaults to `","`.

    Raises:
        ValueError: if `items` names no feature of ids, or a name is taken. While rows are read: on a column that is
            missing, a row without a time, or a row that comes after a later one of its user.

    Example:
    ```python
    log = gr.datasets.KuaiRandPure("data/kuairand-pure")
    with_history = gr.datasets.histories(
        log, "user_id", items="video_id", actions=("is_like", "long_view", "is_click"), length=50, time="time_ms"
    )
    table = gr.datasets.prepare(with_history, "prepared/kuairand-with-history")
    model = gr.models.CTRModel(table.schema, sequence_encoder={"history": "target_attention"})
    ```
    """
    owner = next((column for column in table.columns if column.name == items), None)
    if owner is None:
        raise ValueError(f"`items` must name a feature. Received: {items!r}. Features: {_names(table.columns)}.")
    state: dict[str, Any] = {"key": key, "items": owner.raw_name, "time": time, "actions": tuple(actions)}
    state |= {"length": length, "name": name, "unit": unit, "separator": separator}
    names = HistoryState(**state).names
    taken = sorted(set(names) & {*_names(table.columns), *(task.name for task in table.tasks), *table.extras})
    if taken:
        raise ValueError(f"The dataset has columns {taken} already. Pass another `name`.")
    of_items = _of_text(owner, table.columns)
    columns = [of_items if column is owner else column for column in table.columns]
    columns.append(_items_column(names[0], of_items, length, separator))
    columns += [
        SequenceColumn(other, "user", separator=separator, length=length, beside=names[0]) for other in names[1:]
    ]
    return _WithHistories(table, columns, state, start)


class _WithHistories:
    """A dataset, and the histories of its rows."""

    def __init__(
        self, table: Dataset, columns: Sequence[Column], state: dict[str, Any], start: pl.DataFrame | None
    ) -> None:
        self._table, self._state, self._start = table, state, start
        self.name = table.name
        self.columns: Sequence[Column] = tuple(columns)
        self.tasks, self.extras = table.tasks, table.extras
        self.files = getattr(table, "files", ())
        self.settings = dict(getattr(table, "settings", {}))
        if self.files or self.settings:  # without them nothing tells whether the rows are the same
            digest = "" if start is None else hashlib.sha256(start.write_ipc(None).getbuffer()).hexdigest()
            self.settings["history"] = {**state, "start": digest}

    @property
    def bad_rows(self) -> int:
        """See `Dataset`."""
        return int(getattr(self._table, "bad_rows", 0))

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield the dataset's frames with three more columns (see `Dataset.chunks`)."""
        read = self._table.chunks
        more: dict[str, Any] = {"workers": workers} if "workers" in inspect.signature(read).parameters else {}
        state = HistoryState(**self._state, start=self._start)
        texts = [new.raw_name for old, new in zip(self._table.columns, self.columns, strict=False) if new is not old]
        first = 0
        for frame in read(chunk_rows, max_bad_rows, **more):
            try:
                found = state.update(frame.with_columns(pl.col(name).cast(pl.String) for name in texts))
            except ValueError as error:
                raise ValueError(f"{self.name}, in the rows from {first} on: {error}") from error
            yield found
            first += len(frame)

    @classmethod
    def download(cls, folder: Path) -> Path:
        """Raise an error, since the dataset was opened before."""
        raise NotImplementedError("Download the dataset before its histories are made.")


def _of_text(owner: Column, columns: Sequence[Column]) -> Column:
    """The column of items, of the decimal texts where it holds integers whose vocabulary is to be shared."""
    if owner.dtype != "int64" or not isinstance(owner, CategoricalColumn | GrowingColumn):
        return owner
    others = [column.name for column in columns if column is not owner and column.raw_name == owner.raw_name]
    if others or (isinstance(owner, CategoricalColumn) and (owner.divisor != 1 or owner.modulo is not None)):
        raise ValueError(
            f"`items` must name a feature whose raw column is its alone, without divisor and modulo, since "
            f"its integers become text. Received: {owner}, and {others} of the same raw column."
        )
    return dataclasses.replace(owner, dtype="string")


def _items_column(name: str, owner: Column, length: int, separator: str) -> Column:
    if isinstance(owner, HashedColumn):
        return HashedSequenceColumn(
            name,
            "user",
            separator=separator,
            shares=owner.name,
            integers=owner.integers,
            length=length,
            buckets=owner.buckets,
        )
    column = SequenceColumn(name, "user", separator=separator, shares=owner.name, length=length)
    column.check_owner(owner)
    return column


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]
