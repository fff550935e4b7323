"""The second pass of `prepare`: every column of every split, encoded and written."""

import contextlib
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
from .transforms.table_transforms import TableTransforms


class _Part(NamedTuple):
    """The rows of a chunk that are in one split."""

    split: str
    rows: int
    features: dict[str, Encoded]
    labels: dict[str, np.ndarray]
    extras: dict[str, np.ndarray]


def encode_pass(
    reader: ChunkReader,
    transforms: TableTransforms,
    rows: Mapping[str, int],
    folder: Path,
    on_chunk: Callable[[int], None],
) -> dict[str, Any]:
    """Encode chunks on threads and write them in order, a file per split.

    Args:
        reader: what reads the dataset.
        transforms: the fitted transforms.
        rows: rows of each split.
        folder: where to write, a file per split; created if absent.
        on_chunk: called after each chunk with the rows done so far.

    Returns:
        The part of the report that only encoding knows.

    Raises:
        ValueError: if an extra column misses values that its type needs, or the rows are not those of the first pass.
    """
    replaced: dict[str, dict[str, list[int]]] = defaultdict(lambda: {split: [0, 0] for split in SPLITS})
    labels: dict[str, dict[str, list[float]]] = defaultdict(lambda: {split: [0.0, 0.0] for split in SPLITS})
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
                    replaced[name][part.split][0] += values.replaced
                    replaced[name][part.split][1] += values.total
                for name, array in part.labels.items():
                    labels[name][part.split][0] += float(np.nansum(array, dtype="float64"))
                    labels[name][part.split][1] += int(np.count_nonzero(~np.isnan(array)))
                done += part.rows
            on_chunk(done)
        if absent := [split for split in SPLITS if split not in writers]:
            raise ValueError(
                f"The first pass over the data had {absent} rows, and the second had none. The source changed "
                f"meanwhile; "
                "prepare again."
            )
    vocabularies = {name for name, transform in transforms.columns.items() if transform.counts_unknown}
    return {
        "label_means": {
            name: {split: total / count if count else None for split, (total, count) in splits.items()}
            for name, splits in labels.items()
        },
        "imputed": {
            name: {split: count for split, (count, _) in splits.items()}
            for name, splits in replaced.items()
            if name not in vocabularies
        },
        "oov_share": {
            name: {split: count / total if total else 0.0 for split, (count, total) in splits.items()}
            for name, splits in replaced.items()
            if name in vocabularies
        },
    }


def _extra(series: pl.Series, dtype: str) -> np.ndarray:
    if series.null_count() and np.dtype(dtype).kind != "f":
        raise ValueError(
            f"Extra column {series.name!r}: a {dtype} column cannot hold missing values. Declare it as a float."
        )
    if series.dtype.base_type() in (pl.List, pl.Array):
        return np.stack(series.to_list()).astype(dtype)
    return (as_float32(series.name, series) if series.null_count() else series.to_numpy()).astype(dtype)
