"""How far the columns of a log and its learned groups have moved from its first days."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ..datasets import BucketizedColumn, GrowingColumn, NumericColumn, TableDescription, TableTransforms
from ..incremental import Period, fit_transforms
from ..incremental.period_rows import PeriodRows
from ..models import CTRModel
from ..reports import population_stability_index
from .daily_log import with_ids

# The most frequent ids of the first days have a bin each, and the others one together.
MOST_IDS = 50
_DECILES = 10
# Id 0, and in lists id 1, hold missing and unknown tokens, which are new ones on later days.
_OWN_BINS = (0, 1)

Counts = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Drift:
    """The population stability index (PSI) of the later days against the first ones. Made by `measure_drift`.

    Args:
        features: a figure for each later day by feature, `None` for a day without rows.
        groups: the same by placement of groups and level of codes, such as `"user, level 1"`.
        chance: the mean of each without drift, on the day with the fewest rows.
        own_groups: whether the groups are those of a variant. Defaults to `True`.
    """

    features: dict[str, list[float | None]]
    groups: dict[str, list[float | None]]
    chance: dict[str, float]
    own_groups: bool = True


def measure_drift(
    description: TableDescription,
    days: Sequence[Period],
    first_days: int,
    model: CTRModel,
    transforms: TableTransforms,
    batch_size: int,
    max_bad_rows: int = 0,
) -> Drift:
    """Count what falls into which bin on each day, and compare it with the first days.

    Numbers fall into the tenths of the first days. A feature of ids has a bin for each of its 50 most frequent ids, one
    for missing and unknown tokens, and one for all others. Vectors are left out. Groups have a bin for each code; one
    model puts the rows of all days into them, since the codes of a model that is trained further mean something else.

    Args:
        description: what the columns of the log are.
        days: the log.
        first_days: number of days that the others are compared with.
        model: a model with groups.
        transforms: those of the model.
        batch_size: rows per batch of the model.
        max_bad_rows: malformed rows of a day that may be skipped. Defaults to 0.
    """
    binned = _binned(description)
    bins = fit_transforms(binned, days[:first_days], max_bad_rows=max_bad_rows)
    rows = PeriodRows(binned, max_bad_rows=max_bad_rows)
    groups_model = model.group_ids_model()

    def codes(frame: pl.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
        columns = {name: values.array for name, values in transforms.encode(frame).items()}
        # Filled up to whole batches, so that every call has one shape.
        short = -len(frame) % batch_size
        filled = {name: np.concatenate([v, np.repeat(v[:1], short, axis=0)]) for name, v in columns.items()}
        found = groups_model.predict(filled, batch_size=batch_size, verbose=0)
        for placement in model.group_concats:
            for level, of_level in enumerate(found[placement][: len(frame)].T, 1):
                yield f"{placement}, level {level}", of_level

    def count(periods: Sequence[Period]) -> tuple[Counts, Counts]:
        features: Counts = {}
        groups: Counts = {}
        for period in periods:
            for chunk in rows.chunks(period):
                for name, values in bins.encode(chunk.frame).items():
                    if values.array.dtype.kind == "i":
                        _add(features, name, values.array)
                for name, ids in codes(chunk.frame):
                    _add(groups, name, ids)
        return features, groups

    reference = count(days[:first_days])
    later = [count([day]) for day in days[first_days:]]
    chance: dict[str, float] = {}

    def moved(part: int, most: int | None) -> dict[str, list[float | None]]:
        found: dict[str, list[float | None]] = {}
        for name, before in reference[part].items():
            pairs = [_pooled(before, of_day[part].get(name), most) for of_day in later]
            found[name] = [None if pair is None else population_stability_index(*pair) for pair in pairs]
            chance[name] = max((_by_chance(*pair) for pair in pairs if pair is not None), default=0.0)
        return found

    return Drift(moved(0, MOST_IDS), moved(1, None), chance)


def _binned(description: TableDescription) -> TableDescription:
    """The description with ids in place of numbers, and fixed vocabularies in place of growing ones."""
    growing = [column.name for column in description.columns if isinstance(column, GrowingColumn)]
    columns = [
        BucketizedColumn(column.name, column.side, column.raw, _DECILES, column.missing)
        if isinstance(column, NumericColumn)
        else column
        for column in with_ids(description, growing, "frozen", 1).columns
    ]
    return dataclasses.replace(description, columns=tuple(columns))


def _add(counts: Counts, name: str, ids: np.ndarray) -> None:
    found = np.bincount(ids.reshape(-1))
    before = counts.get(name, found[:0])
    counts[name] = np.pad(found, (0, max(0, len(before) - len(found))))
    counts[name][: len(before)] += before


def _pooled(
    reference: np.ndarray, current: np.ndarray | None, most: int | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """The counts of both sides by bin."""
    if current is None:
        return None
    size = max(len(reference), len(current), len(_OWN_BINS))
    both = np.stack([np.pad(side, (0, size - len(side))) for side in (reference, current)])
    if most is None:
        return both[0], both[1]
    frequent = np.argsort(-both[0], kind="stable")[:most]
    own = np.union1d(frequent, _OWN_BINS)
    rest = both.sum(axis=1) - both[:, own].sum(axis=1)
    found = np.column_stack([both[:, own], rest])
    return found[0], found[1]


def _by_chance(reference: np.ndarray, current: np.ndarray) -> float:
    """The mean of PSI without drift (Yurdakul and Naranjo 2020)."""
    bins = np.count_nonzero(reference + current)
    return float((bins - 1) * (1.0 / reference.sum() + 1.0 / current.sum()))
