"""Predictions of one half of the users, as arrays."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import polars as pl

from ..segmentation import Segmentation
from ..statistics import user_buckets
from ..statistics.prediction_columns import PredictionColumns, cross_entropy


@dataclasses.dataclass(frozen=True)
class Half:
    """Labelled rows of one task, of half the users and some of the seeds.

    Args:
        bucket: each row's bucket of users.
        buckets: how many there are.
        weight: each row's weight.
        labels: each row's label.
        losses: `(2, seeds, rows)`: cross-entropy of baseline and candidate.
        values: `{column: integers}`: number of each row's value.
    """

    bucket: np.ndarray
    buckets: int
    weight: np.ndarray
    labels: np.ndarray
    losses: np.ndarray
    values: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.bucket)

    @functools.cached_property
    def weighted_labels(self) -> np.ndarray:
        """Weight times label."""
        return self.weight * self.labels

    @functools.cached_property
    def weighted_losses(self) -> np.ndarray:
        """`(2, rows)`: weight times cross-entropy, mean over seeds."""
        return self.weight * self.losses.mean(axis=1)

    def mask(self, literals: dict[str, int]) -> np.ndarray:
        """Which rows have a value in every one of some columns."""
        inside = np.ones(len(self), bool)
        for column, value in literals.items():
            inside &= self.values[column] == value
        return inside


def literal_columns(
    frame: pl.DataFrame, columns: Sequence[str | Segmentation], bins: int
) -> dict[str, tuple[list[str], np.ndarray]]:
    """The values of each column as texts `column=value`, and the number of each row's.

    Args:
        frame: rows.
        columns: names, or ready segmentations.
        bins: into how many parts of about equal size a column of floats is cut.
    """
    found = {}
    for column in columns:
        if isinstance(column, str):
            if column not in frame.columns:
                raise ValueError(f"`columns` names {column!r}, which is missing. Received: {frame.columns}.")
            floats = frame.schema[column].is_float()
            column = Segmentation.quantiles(frame, column, bins) if floats else Segmentation(column)
        if str(column.name) in found:
            raise ValueError(f"`columns` names {column.name!r} twice. Give each segmentation a name of its own.")
        coded = column.labels(frame).cast(pl.Categorical)
        names = coded.unique().sort()
        numbers = coded.replace_strict(names, pl.int_range(len(names), eager=True), return_dtype=pl.Int64)
        found[str(column.name)] = (names.cast(pl.String).to_list(), numbers.to_numpy())
    return found


def split_halves(
    frames: Sequence[pl.DataFrame],
    task: str,
    models: Sequence[str],
    user: str,
    values: dict[str, np.ndarray],
    weight: str | None,
    buckets: int,
) -> tuple[Half, Half]:
    """Cut users in two by hash, and seeds too: what a seed does by luck it does to all users.

    The first half gets the first half of the seeds, one at least; the second the others.
    A single seed serves both.
    """
    given = [PredictionColumns(frame, weight) for frame in frames]
    w = given[0].weight
    y, seen = given[0].labels(task)
    place = user_buckets(frames[0][user], 2 * buckets)
    seeds = len(frames)
    searched = max(1, seeds // 2)
    halves = []
    for half, chosen in enumerate((range(searched), range(searched, seeds) if seeds > 1 else range(1))):
        rows = np.flatnonzero(seen & (place % 2 == half))
        losses = np.empty((2, len(chosen), len(rows)))
        for number, seed in enumerate(chosen):
            for which, model in enumerate(models):
                p = given[seed].probabilities(model, task, seen)
                losses[which, number] = cross_entropy(y[rows], p[rows])
        kept = {column: numbers[rows] for column, numbers in values.items()}
        halves.append(Half(place[rows] // 2, buckets, w[rows], y[rows], losses, kept))
    return halves[0], halves[1]
