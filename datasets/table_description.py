"""A user's description of a table's columns, as YAML."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..schema import Schema, Task
from ..schema.read_yaml import read_yaml
from .kinds import COLUMNS, Column
from .remote_files import local_path

_FILL_IN = {
    "features": "one line for each column that the model may see: - {name: country, kind: categorical, side: user}",
    "tasks": "the columns of 0 and 1 that are to be predicted: tasks: [click]",
}
_KEYS = ("features", "tasks", "time", "missing")


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the names most like a wrong one, or nothing.

    Example:
    >>> nearest("cuntry", ["country", "price"])
    " Did you mean 'country'?"
    """
    names = list(names)
    exact = [other for other in names if other.lower() == name.lower()]
    close = exact or difflib.get_close_matches(name, names, n=3)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


@dataclasses.dataclass(frozen=True)
class TableDescription:
    """What the columns of a user's table are: the schema before anything is fitted.

    In YAML it has the keys of a `Schema`, each feature with the arguments of its column (the `Column` of its
    kind, such as `CategoricalColumn`) instead of a vocabulary size, which fitting finds:

    ```yaml
    features:
      - {name: country, kind: categorical, side: user}
      - {name: price, kind: numeric, side: ad, raw: "Price (EUR)"}
      - {name: last_ads, kind: sequence, side: user, length: 20, separator: "|"}
    tasks:
      - {name: click}
      - {name: purchase, given: click, raw: bought}
    time: event_time   # optional: rows are split at points in time, not in the order of the file
    missing: ["NA"]    # optional: what means missing, besides the empty string; a feature may have its own
    ```

    `raw` names the column of the table where it differs from the name. `missing` applies to served rows too.

    Args:
        columns: the features.
        tasks: the outcomes.
        labels: task name to its column in the table.
        time: column by which rows are in time order, or `None` for the order of the file.
        missing: strings that mean a missing value.

    Raises:
        ValueError: if names repeat, or a feature reads the label of a task.

    Example:
    >>> description = TableDescription.from_dict(
    ...     {"features": [{"name": "os", "kind": "categorical", "side": "user"}], "tasks": [{"name": "click"}]}
    ... )
    >>> description.raw_columns
    {'os': "feature 'os'", 'click': "task 'click'"}
    """

    columns: tuple[Column, ...]
    tasks: tuple[Task, ...]
    labels: Mapping[str, str]
    time: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Schema([feature for column in self.columns for feature in column.features(1)], self.tasks)
        for column in self.columns:
            if "split" in (column.name, column.raw_name):
                raise ValueError(
                    f"Feature {column.name!r} reads a column named 'split', which is where rows get their split. "
                    "Rename it, in the table and here."
                )
            for task, label in self.labels.items():
                if column.raw_name in (task, label):
                    raise ValueError(
                        f"Feature {column.name!r} reads {column.raw_name!r}, the label of task {task!r}. The model  "
                        "would see what it must predict. Remove the feature."
                    )

    @property
    def raw_columns(self) -> dict[str, str]:
        """Column of the table to what needs it."""
        needed = {column.raw_name: f"feature {column.name!r}" for column in self.columns}
        needed |= {raw: f"task {task!r}" for task, raw in self.labels.items()}
        return needed | ({self.time: "`time`"} if self.time and self.time not in needed else {})

    @classmethod
    def read(cls, path: str | Path) -> "TableDescription":
        """The description in a YAML file.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the file and what is wrong in it.
        """
        path = local_path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist. Draft it with `python -m grouprank.recipes.tabular --init --schema {path} "
                "--data YOUR_TABLE`, then correct it."
            )
        try:
            return cls.from_dict(read_yaml(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, config: Any) -> "TableDescription":
        """The description in plain lists and dicts, as YAML gives them."""
        config = _mapping(config, "A description")
        _check_keys("A description", config, _KEYS, required=("features", "tasks"))
        columns = tuple(_column(_mapping(entry, "A feature")) for entry in _items(config, "features"))
        tasks, labels = [], {}
        for entry in _items(config, "tasks"):
            task = dict(_mapping({"name": entry} if isinstance(entry, str) else entry, "A task"))
            _check_keys("A task", task, ("name", "given", "raw"), required=("name",))
            label = _column_name(f"Task {task['name']!r}", "raw", task.pop("raw", None)) or task["name"]
            tasks.append(Task(**task))
            labels[task["name"]] = label
        time = _column_name("A description", "time", config.get("time"))
        return cls(columns, tuple(tasks), labels, time, _spellings(config.get("missing"), "`missing`"))


def _column(entry: Mapping[str, Any]) -> Column:
    arguments = dict(entry)
    name = arguments.get("name")
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in COLUMNS:
        raise ValueError(f"Feature {name!r}: `kind` must be one of {list(COLUMNS)}. Received: kind={kind!r}.")
    if "vocabulary_size" in arguments:
        raise ValueError(
            f"Feature {name!r}: a vocabulary's size is found in the training rows. Remove `vocabulary_size`, or "
            "bound it with `max_size`."
        )
    fields = dataclasses.fields(COLUMNS[kind])
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    _check_keys(f"Feature {name!r} ({kind})", arguments, [field.name for field in fields], required)
    if "missing" in arguments:
        arguments["missing"] = _spellings(arguments["missing"], f"Feature {name!r}: `missing`")
    column: Column = COLUMNS[kind](**arguments)
    return column


def _column_name(owner: str, key: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(
            f"{owner}: `{key}` must name a column of the table. Received: {key}={value!r}. Quote a name of digits."
        )
    return value


def _spellings(value: Any, owner: str) -> tuple[str, ...]:
    """One spelling or a list of them; YAML reads `NULL`, `no` and the like as something else than text."""
    values = [] if value is None else value if isinstance(value, list | tuple) else [value]
    for spelled in values:
        if isinstance(spelled, bool) or not isinstance(spelled, str | int | float):
            raise ValueError(
                f'{owner} must be a spelling or a list of them, such as ["NA", "-1"]. Received: {spelled!r}. Put words '
                'that YAML reads as something else in quotes: "NULL", "no".'
            )
    return tuple(str(spelled) for spelled in values)


def _mapping(value: Any, owner: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{owner} must be a mapping of names to values. Received: {value!r}.")
    return value


def _items(config: Mapping[str, Any], key: str) -> list[Any]:
    if config[key] is None or config[key] == []:
        raise ValueError(f"`{key}` is empty. Fill it in, {_FILL_IN[key]}.")
    if not isinstance(config[key], list):
        raise ValueError(f"`{key}` must be a list with at least one entry. Received: {config[key]!r}.")
    return list(config[key])


def _check_keys(owner: str, entry: Mapping[str, Any], known: Iterable[str], required: Iterable[str]) -> None:
    known = list(known)
    for key in entry:
        if key not in known:
            raise ValueError(f"{owner} has no {key!r}.{nearest(str(key), known)} Expected: {known}.")
    absent = [key for key in required if key not in entry]
    if absent:
        raise ValueError(f"{owner} lacks {absent}. Received: {dict(entry)}.")
