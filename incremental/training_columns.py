"""The rows that a step trains, on disk."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ..datasets import BatchLoader, TableTransforms
from ..datasets.kinds import LabelColumn
from ..datasets.split_file import SplitWriter, open_split

_WEIGHT = "sample_weight"


class Part(NamedTuple):
    """Rows to train.

    Args:
        frame: typed rows with labels.
        pseudo_labels: target column to pseudo-labels, NaN where there are none; those left out have none.
        weight: weight of each row.
    """

    frame: pl.DataFrame
    pseudo_labels: Mapping[str, np.ndarray]
    weight: float = 1.0


class TrainingColumns:
    """Writes rows as encoded columns of one file, and serves them in batches; memory does not grow with them.

    Args:
        path: the file.
        transforms: the transforms that encode the rows.
        targets: names of the columns of pseudo-labels.
        weighted: whether rows have weights.

    Example:

    ```python
    columns = TrainingColumns(folder / "train.npy", transforms, ["yesterday_click"], weighted=False)
    columns.write((Part(chunk.frame, {}) for chunk in rows.chunks(period)), rows=100_000)
    model.fit(columns.batches(4096, seed=0), shuffle=False)
    ```
    """

    def __init__(self, path: Path, transforms: TableTransforms, targets: Iterable[str], weighted: bool) -> None:
        self._path, self._transforms, self._targets, self._weighted = path, transforms, tuple(targets), weighted
        self._rows = 0

    def write(self, parts: Iterable[Part], rows: int) -> None:
        """Write the file.

        Args:
            parts: the rows in order.
            rows: how many there are in all.
        """
        encoded = self._encoded(parts)
        first = next(encoded)
        with SplitWriter(self._path, rows, first) as writer:
            writer.append(first)
            for arrays in encoded:
                writer.append(arrays)
        self._rows = rows

    def _encoded(self, parts: Iterable[Part]) -> Iterator[dict[str, np.ndarray]]:
        for frame, pseudo_labels, weight in parts:
            if not len(frame):
                continue
            arrays = {name: values.array for name, values in self._transforms.encode(frame).items()}
            for task in self._transforms.schema.task_names:
                arrays[task] = LabelColumn(task).encode(frame[task])
            for name in self._targets:
                given = pseudo_labels.get(name)
                arrays[name] = np.full(len(frame), np.nan, "float32") if given is None else given.astype("float32")
            if self._weighted:
                arrays[_WEIGHT] = np.full(len(frame), weight, "float32")
            yield arrays

    def batches(
        self,
        batch_size: int,
        seed: int,
        negative_rate: float | Mapping[str, float] | None = None,
        recalibrate: str | None = "loss",
    ) -> BatchLoader:
        """Shuffled batches of all rows.

        Args:
            batch_size: rows per batch.
            seed: seed of the shuffle.
            negative_rate: share of the negatives that are served (see `BatchLoader`). Defaults to `None`, all.
            recalibrate: what makes up for the others. Defaults to `"loss"`.
        """
        schema = self._transforms.schema
        targets = [*schema.task_names, *self._targets]
        names = [*schema.feature_names, *targets, *([_WEIGHT] if self._weighted else [])]
        columns = open_split(self._path, names, self._rows)
        return BatchLoader(
            {name: columns[name] for name in schema.feature_names},
            {name: columns[name] for name in targets},
            batch_size,
            shuffle=True,
            seed=seed,
            sample_weight=columns.get(_WEIGHT),
            schema=schema,
            negative_rate=negative_rate,
            recalibrate=recalibrate,
        )
