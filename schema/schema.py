"""The one place where a table's columns are listed."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from .check_batch import check_batch
from .check_fitted import check_fitted
from .check_references import check_references, table_of
from .check_table import check_table
from .features import SIDES, Categorical, Feature, Numeric, Sequence, Vector, Weights
from .read_yaml import read_yaml
from .task import Task

_KINDS: dict[str, Any] = {cls.kind: cls for cls in (Numeric, Categorical, Sequence, Vector, Weights)}


class Schema:
    """Features and tasks of a table: the one place where its columns are listed.

    The model's inputs, the embedding tables, the id checks, the in-graph
    preprocessing and the serving signature all come from this object.

    Args:
        features: iterable of `Numeric`, `Categorical`, `Sequence`, `Vector`, `Weights`.
        tasks: iterable of `Task`, at least one.

    Raises:
        ValueError: on a repeated name, an unknown parent task or a cycle of
            parents, a `Sequence` that shares an unknown or differently
            sized table or lies beside none of its length, or features of
            one table whose ids differ.

    Example:

    >>> schema = Schema(
    ...     [Categorical("user_id", 100, side="user"), Numeric("bid", side="ad")],
    ...     [Task("click"), Task("purchase", given="click")],
    ... )
    >>> [feature.name for feature in schema.on_side("user")]
    ['user_id']
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    def __init__(self, features: Iterable[Feature], tasks: Iterable[Task]) -> None:
        self.features = tuple(features)
        self.tasks = tuple(tasks)
        for feature in self.features:
            if not isinstance(feature, tuple(_KINDS.values())):
                raise ValueError(
                    "`features` must hold Numeric, Categorical, Sequence, Vector or Weights objects. "
                    f"Received: {feature!r} of type {type(feature).__name__}."
                )
        for task in self.tasks:
            if not isinstance(task, Task):
                raise ValueError(
                    f"`tasks` must hold Task objects. Received: {task!r} of type {type(task).__name__}. "
                    f"Wrap a label column's name: Task({str(task)!r})."
                )
        if not self.features:
            raise ValueError("A schema needs at least one feature. Received: features=[].")
        if not self.tasks:
            raise ValueError('A schema needs at least one task. Received: tasks=[]. Add e.g. Task("click").')
        self._by_name = {feature.name: feature for feature in self.features}
        check_references(self.features, self.tasks)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, in order."""
        return [feature.name for feature in self.features]

    @property
    def task_names(self) -> list[str]:
        """Names of the tasks, in order."""
        return [task.name for task in self.tasks]

    def table_of(self, name: str) -> str:
        """The embedding table of a feature of ids: what its `table` says, or else a table of its own name.

        Args:
            name: name of a `Categorical` or `Sequence`.

        Example:

        >>> history = Sequence("history", 9, length=3, shares="ad_id")
        >>> Schema([Categorical("ad_id", 9), history], [Task("click")]).table_of("history")
        'ad_id'
        """
        return table_of(self[name], self._by_name)

    def path(self, task: str) -> tuple[str, ...]:
        """A task and what it is given, from the root down: `("click", "purchase")`."""
        parents = {t.name: t.given for t in self.tasks}
        if task not in parents:
            raise KeyError(f"The schema has no task {task!r}. Its tasks: {self.task_names}.")
        names: list[str] = []
        name: str | None = task
        while name is not None:
            names.append(name)
            name = parents[name]
        return tuple(reversed(names))

    def joint_name(self, task: str) -> str:
        """Name of the outcome that a task and all it is given come true: `"click_and_purchase"`."""
        return "_and_".join(self.path(task))

    def on_side(self, *sides: str) -> tuple[Feature, ...]:
        """The features of one or more sides, in order."""
        for side in sides:
            if side not in SIDES:
                raise ValueError(f"`side` must be one of {SIDES}. Received: {side!r}.")
        return tuple(feature for feature in self.features if feature.side in sides)

    def field_names(self, *sides: str) -> list[str]:
        """Names of the fields that a model makes of the features of some sides or, without any, of all.

        `Weights`, and sequences beside others, are parts of their fields.
        """
        return [feature.name for feature in self.on_side(*sides or SIDES) if feature.field == feature.name]

    def __getitem__(self, name: str) -> Feature:
        if name not in self._by_name:
            raise KeyError(f"The schema has no feature {name!r}. Its features: {self.feature_names}.")
        return self._by_name[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and (self.features, self.tasks) == (other.features, other.tasks)

    def __hash__(self) -> int:
        return hash((self.features, self.tasks))

    def __repr__(self) -> str:
        return f"Schema(features={list(self.features)!r}, tasks={list(self.tasks)!r})"

    def to_dict(self) -> dict[str, Any]:
        """The schema as plain lists, dicts, strings and numbers."""
        features = [{"kind": feature.kind, **_arguments(feature)} for feature in self.features]
        return {"features": features, "tasks": [dataclasses.asdict(task) for task in self.tasks]}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "Schema":
        """Inverse of `to_dict`; says which entry is wrong and how."""
        if not isinstance(config, Mapping) or set(config) != {"features", "tasks"}:
            found = sorted(map(str, config)) if isinstance(config, Mapping) else type(config).__name__
            raise ValueError(f"A schema is a mapping with the keys 'features' and 'tasks'. Received: {found}.")
        features = []
        for entry in _entries(config, "features"):
            kind = entry.pop("kind", None)
            if not isinstance(kind, str) or kind not in _KINDS:
                raise ValueError(
                    f"A feature's `kind` must be one of {sorted(_KINDS)}. Received: kind={kind!r} in {entry}."
                )
            features.append(_construct(_KINDS[kind], entry))
        return cls(features, [_construct(Task, entry) for entry in _entries(config, "tasks")])

    def to_json(self) -> str:
        """The schema as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(text))

    def to_yaml(self) -> str:
        """The schema as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> "Schema":
        """Inverse of `to_yaml`."""
        return cls.from_dict(read_yaml(text))

    def check(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> None:
        """Compare host arrays with the schema before they reach a backend.

        JAX turns an out-of-range id into NaN without an error and wraps 64-bit ids. So this check runs on NumPy, where
        a mistake can be named.

        Args:
            x: feature name to array of shape `(rows,)` or `(rows, 1)` for
                single values, `(rows, length)` or `(rows, dim)` otherwise.
                Columns that the schema does not list are ignored.
            y: task name to labels of shape `(rows,)` or `(rows, 1)`, NaN
                where unobserved, or `None`.

        Raises:
            ValueError: naming the column, the first offending row and the
                remedy, on a missing column, a wrong shape, an id out of range,
                a non-finite number or a label outside `[0, 1]`.
        """
        check_table(self.features, self.task_names, x, y)

    def check_batch(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> None:
        """As `check`, with the same errors, but quicker for NumPy arrays in which nothing is wrong.

        Args:
            x: see `check`.
            y: see `check`.
        """
        check_batch(self.features, self.task_names, x, y)

    def check_fitted(self, other: "Schema", mine: str = "this schema", theirs: str = "the other") -> None:
        """Compare how the features that both schemas have were fitted.

        Preparing a table again permutes ids, and a model would read each id as another token without an error. A
        feature without a fingerprint, as in a schema written by hand, agrees with anything.

        Args:
            other: the schema of what is to be used with what has this one.
            mine: what has this schema, for the error. Defaults to `"this schema"`.
            theirs: what has the other. Defaults to `"the other"`.

        Raises:
            ValueError: naming the features whose vocabularies or moments differ.

        Example:

        >>> model = Schema([Categorical("ad_id", 9, vocabulary="5d1c")], [Task("click")])
        >>> model.check_fitted(Schema([Categorical("ad_id", 9)], [Task("click")]))
        """
        check_fitted(self.features, other.features, mine, theirs)

    def check_loader(self, data: Any) -> None:
        """As `check_fitted`, of batches that know their schema (see `BatchLoader`); anything else passes.

        Args:
            data: what a model with this schema is called with.
        """
        schema = getattr(data, "schema", None)
        if isinstance(schema, Schema):
            self.check_fitted(schema, "the model", "the table of these batches")


def _arguments(feature: Feature) -> dict[str, Any]:
    """A feature's arguments; those that came later only where given, so that what is written by hand stays as it is."""
    entries = dataclasses.asdict(feature)
    return {k: v for k, v in entries.items() if v is not None or k not in ("moments", "vocabulary", "table", "beside")}


def _entries(config: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = config[key]
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"A schema's {key!r} must be a list of mappings of names to values. Received: {entries!r}.")
    return [{str(name): value for name, value in entry.items()} for entry in entries]


def _construct(cls: Any, entry: dict[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(set(entry) - set(known))
    required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.name not in entry]
    if unknown or required:
        raise ValueError(f"{cls.__name__} takes {known}. Received: {entry}; unknown: {unknown}, missing: {required}.")
    return cls(**entry)
