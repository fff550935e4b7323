"""Checks of what the features and tasks of a schema say about each other."""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Items

from .features import Categorical, Feature, Sequence, Weights
from .task import Task


def check_references(features: Items[Feature], tasks: Items[Task]) -> None:
    """Raise unless each name is used once and all that refers to a feature or task finds one that fits.

    Args:
        features: the features of a schema.
        tasks: its tasks.

    Raises:
        ValueError: on a repeated name, an unknown parent task or a cycle of parents, a `Sequence` that shares an
            unknown or differently sized table, features of one table whose ids differ, or a part of no sequence.
    """
    by_name = {feature.name: feature for feature in features}
    _check_unique([*(feature.name for feature in features), *(task.name for task in tasks)])
    _check_shares(by_name)
    _check_tables(by_name)
    _check_parts(by_name)
    _check_parents(tasks)


def table_of(feature: Feature, features: Mapping[str, Feature]) -> str:
    """The embedding table of a feature of ids, see `Schema.table_of`.

    Args:
        feature: a `Categorical` or `Sequence`.
        features: all features of its schema, by name.
    """
    if isinstance(feature, Sequence) and feature.shares is not None:
        feature = features[feature.shares]
    return getattr(feature, "table", None) or feature.name


def _check_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"The name {name!r} is used more than once. Every feature and task of a schema needs its own."
            )
        seen.add(name)


def _check_shares(features: Mapping[str, Feature]) -> None:
    for feature in features.values():
        if not isinstance(feature, Sequence) or feature.shares is None:
            continue
        owner = features.get(feature.shares)
        if owner is feature or not isinstance(owner, Categorical | Sequence) or getattr(owner, "shares", None):
            candidates = [f.name for f in features.values() if isinstance(f, Categorical)]
            raise ValueError(
                f"Sequence {feature.name!r}: `shares` must name a Categorical (or a Sequence that owns its table) "
                f"of the schema. Received: shares={feature.shares!r}. Categorical features: {candidates}."
            )
        if owner.vocabulary_size != feature.vocabulary_size:
            raise ValueError(
                f"Sequence {feature.name!r} shares the table of {owner.name!r} but their sizes differ: "
                f"vocabulary_size={feature.vocabulary_size} against {owner.vocabulary_size}. Give both the same."
            )
        if None not in (owner.vocabulary, feature.vocabulary) and owner.vocabulary != feature.vocabulary:
            raise ValueError(
                f"Sequence {feature.name!r} shares the table of {owner.name!r} but their ids stand for other "
                f"tokens: vocabulary={feature.vocabulary!r} against {owner.vocabulary!r}. Fit both together."
            )


def _check_tables(features: Mapping[str, Feature]) -> None:
    first: dict[str, Categorical | Sequence] = {}
    for feature in features.values():
        if not isinstance(feature, Categorical | Sequence):
            continue
        other = first.setdefault(table_of(feature, features), feature)
        if other.vocabulary_size != feature.vocabulary_size or (
            None not in (other.vocabulary, feature.vocabulary) and other.vocabulary != feature.vocabulary
        ):
            raise ValueError(
                f"The features {other.name!r} and {feature.name!r} use the table {table_of(feature, features)!r}, "
                f"but their ids differ: vocabulary_size={other.vocabulary_size} against "
                f"{feature.vocabulary_size}, vocabulary={other.vocabulary!r} against {feature.vocabulary!r}. Fit "
                "both together, or give them tables of their own."
            )


def _check_parts(features: Mapping[str, Feature]) -> None:
    taken: dict[str, str] = {}
    for feature in features.values():
        if isinstance(feature, Sequence) and feature.beside is not None:
            main = features.get(feature.beside)
            if not _is_part_of(feature, main):
                raise ValueError(
                    f"Sequence {feature.name!r}: `beside` must name a Sequence of the same length and side that lies "
                    f"beside none itself. Received: {feature!r} beside {main!r}."
                )
        elif isinstance(feature, Weights):
            main = features.get(feature.of)
            if not _is_part_of(feature, main) or feature.of in taken:
                raise ValueError(
                    f"Weights {feature.name!r}: `of` must name a Sequence of the same length and side that has no "
                    f"other weights and lies beside none. Received: {feature!r} of {taken.get(feature.of, main)!r}."
                )
            taken[feature.of] = feature.name


def _is_part_of(part: Sequence | Weights, main: Feature | None) -> bool:
    if not isinstance(main, Sequence) or main.beside is not None:
        return False
    return (main.length, main.side) == (part.length, part.side)


def _check_parents(tasks: Iterable[Task]) -> None:
    parents = {task.name: task.given for task in tasks}
    for name, parent in parents.items():
        path = [name]
        while parent is not None:
            if parent not in parents:
                raise ValueError(
                    f"Task {path[-1]!r}: `given` must name another task of the schema. "
                    f"Received: given={parent!r}. Tasks: {list(parents)}."
                )
            if parent in path:
                raise ValueError(
                    f"The tasks' parents form a cycle: {' given '.join([*path, parent])}. Remove one `given`."
                )
            path.append(parent)
            parent = parents[parent]
