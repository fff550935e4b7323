"""The first pass of `prepare`: rows of each split, vocabularies and moments."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from .chunk_reader import ChunkReader, by_split
from .dataset import SPLITS, Dataset
from .kinds import LabelColumn
from .transforms.table_transforms import TableTransforms
from .transforms.transform_fitter import ChunkSummary, TransformFitter


class FitSums(NamedTuple):
    """What the first pass over some rows of a dataset found; it can be pickled, and sums of parts are added up.

    Args:
        rows: number of rows of each split.
        bad_rows: number of malformed rows that were skipped.
        summary: the sum of the training rows, for `TransformFitter.add`.
    """

    rows: dict[str, int]
    bad_rows: int
    summary: ChunkSummary


def fit_pass(reader: ChunkReader, on_chunk: Callable[[int], None]) -> FitSums:
    """Check every chunk, count the rows of each split and sum up the training rows.

    Threads check and summarize chunks; how many there are does not change the sums.

    Args:
        reader: what reads the dataset, or a part of it.
        on_chunk: called after each chunk with the rows done so far.

    Raises:
        ValueError: on a chunk that lacks columns, an unknown split or a label outside [0, 1].
    """
    dataset = reader.dataset
    fitter = TransformFitter(dataset.columns, dataset.tasks)

    def summarize(chunk: tuple[int, pl.DataFrame]) -> tuple[dict[str, int], ChunkSummary]:
        first_row, frame = chunk
        _check_chunk(dataset, frame, first_row)
        parts = dict(by_split(frame))
        summary = fitter.summarize(parts["train"]) if "train" in parts else {}
        return {split: len(part) for split, part in parts.items()}, summary

    rows = dict.fromkeys(SPLITS, 0)
    with contextlib.closing(reader.map(summarize)) as chunks:
        for counts, summary in chunks:
            for split, count in counts.items():
                rows[split] += count
            fitter.add(summary)
            on_chunk(sum(rows.values()))
    return FitSums(rows, int(getattr(dataset, "bad_rows", 0)), fitter.summary)


def fitted(dataset: Dataset, sums: FitSums) -> TableTransforms:
    """The transforms fitted to all training rows.

    Args:
        dataset: the dataset.
        sums: the sums of all its rows.

    Raises:
        ValueError: if a split has no rows.
    """
    empty = [split for split in SPLITS if not sums.rows[split]]
    if empty:
        raise ValueError(
            f"{dataset.name}: every split needs rows. Received: {sums.rows}; empty: {empty}. Use more of the data."
        )
    fitter = TransformFitter(dataset.columns, dataset.tasks)
    fitter.add(sums.summary)
    return fitter.finish()


def _check_chunk(dataset: Dataset, frame: pl.DataFrame, first_row: int) -> None:
    names = [*(c.raw_name for c in dataset.columns), *(t.name for t in dataset.tasks), *dataset.extras, "split"]
    absent = sorted(set(names) - set(frame.columns))
    if absent:
        raise ValueError(f"{dataset.name}: its chunks lack the columns {absent}. Received: {frame.columns}.")
    unknown = frame.filter(~pl.col("split").is_in(SPLITS) | pl.col("split").is_null())
    if len(unknown):
        raise ValueError(f"{dataset.name}: `split` must be one of {SPLITS}. Received: {unknown['split'][0]!r}.")
    for task in dataset.tasks:
        LabelColumn(task.name).check(frame[task.name], dataset.name, first_row)
