"""The second pass of `prepare`: every column of every split, encoded and written."""

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from .chunk_reader import ChunkReader, by_split
from .dataset import SPLITS
from .kinds import LabelColumn
from .split_file import SplitWriter, split_path
from .transforms.raw_values import Encoded, as_float32
from .transforms.running_moments import RunningMoments
from .transforms.table_transforms import TableTransforms


class _Part(NamedTuple):
    """The rows of a chunk that are in one split."""

    split: str
    rows: int
    features: dict[str, Encoded]
    labels: dict[str, np.ndarray]
    extras: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodeSums:
    """What only encoding knows of some rows, by column and split; it can be pickled, and parts are added up.

    Args:
        values: number of values of each feature.
        replaced: number of those that were imputed or are out of the vocabulary.
        labels: moments of the labels of each task.
    """

    values: dict[tuple[str, str], int] = dataclasses.field(default_factory=lambda: defaultdict(int))
    replaced: dict[tuple[str, str], int] = dataclasses.field(default_factory=lambda: defaultdict(int))
    labels: dict[tuple[str, str], RunningMoments] = dataclasses.field(
        default_factory=lambda: defaultdict(RunningMoments)
    )

    def add(self, part: "EncodeSums") -> None:
        """Add the sums of other rows."""
        for key, count in part.values.items():
            self.values[key] += count
            self.replaced[key] += part.replaced[key]
        for key, moments in part.labels.items():
            self.labels[key].add(moments)

    def report(self, transforms: TableTransforms) -> dict[str, Any]:
        """The part of a table's report that only encoding knows."""
        replaced = {name: {split: self.replaced[name, split] for split in SPLITS} for name in transforms.columns}
        unknown = {name for name, transform in transforms.columns.items() if transform.counts_unknown}
        return {
            "label_means": {
                task: {split: _mean(self.labels[task, split]) for split in SPLITS}
                for task in transforms.schema.task_names
            },
            "imputed": {name: counts for name, counts in replaced.items() if name not in unknown},
            "oov_share": {
                name: {split: count / (self.values[name, split] or 1) for split, count in counts.items()}
                for name, counts in replaced.items()
                if name in unknown
            },
        }


def encode_pass(
    reader: ChunkReader,
    transforms: TableTransforms,
    rows: Mapping[str, int],
    folder: Path,
    on_chunk: Callable[[int], None],
) -> EncodeSums:
    """Encode chunks on threads and write them in order, a file per split.

    Args:
        reader: what reads the dataset, or a part of it.
        transforms: the fitted transforms.
        rows: rows of each split.
        folder: where to write, a file per split that has rows; created if absent.
        on_chunk: called after each chunk with the rows done so far.

    Raises:
        ValueError: if an extra column misses values that its type needs, or the rows are not those of the first pass.
    """
    sums = EncodeSums()
    writers: dict[str, SplitWriter] = {}
    folder.mkdir(parents=True, exist_ok=True)
    dataset = reader.dataset

    def encode(chunk: tuple[int, pl.DataFrame]) -> list[_Part]:
        return [
            _Part(
                split,
                len(part),
                transforms.encode(part),
                {task.name: LabelColumn(task.name).encode(part[task.name]) for task in dataset.tasks},
                {name: _extra(part[name], dtype) for name, dtype in dataset.extras.items()},
            )
            for split, part in by_split(chunk[1])
        ]

    done = 0
    with contextlib.ExitStack() as stack:
        chunks = stack.enter_context(contextlib.closing(reader.map(encode)))
        for parts in chunks:
            for part in parts:
                arrays = {name: values.array for name, values in part.features.items()} | part.labels | part.extras
                if part.split not in writers:
                    writer = SplitWriter(split_path(folder, part.split), rows[part.split], arrays)
                    writers[part.split] = stack.enter_context(writer)
                writers[part.split].append(arrays)
                for name, values in part.features.items():
                    sums.values[name, part.split] += values.total
                    sums.replaced[name, part.split] += values.replaced
                for name, array in part.labels.items():
                    sums.labels[name, part.split].update(array)
                done += part.rows
            on_chunk(done)
        if absent := [split for split in SPLITS if rows[split] and split not in writers]:
            raise ValueError(
                f"The first pass over the data had {absent} rows, and the second had none. The source changed "
                "meanwhile; prepare again."
            )
    return sums


def _mean(moments: RunningMoments) -> float | None:
    return moments.mean if moments.count else None


def _extra(series: pl.Series, dtype: str) -> np.ndarray:
    if series.null_count() and np.dtype(dtype).kind != "f":
        raise ValueError(
            f"Extra column {series.name!r}: a {dtype} column cannot hold missing values. Declare it as a float."
        )
    if series.dtype.base_type() in (pl.List, pl.Array):
        return np.stack(series.to_list()).astype(dtype)
    return (as_float32(series.name, series) if series.null_count() else series.to_numpy()).astype(dtype)
