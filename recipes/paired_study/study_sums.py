"""Predictions of a study, joined with labels and columns, and added up for the reports."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ...datasets import PreparedTable
from ...reports import PredictionSums, Segmentation
from .run_variants import Job, prediction_file


def study_sums(
    jobs: Sequence[Job],
    table: PreparedTable,
    folder: Path,
    user: str,
    segmentations: Iterable[Segmentation] = (),
    segment_columns: pl.DataFrame | None = None,
) -> PredictionSums:
    """Sums of the jobs' predictions, the first job's as the baseline's.

    Args:
        jobs: the same seeds and split for all.
        table: the prepared table.
        folder: where predictions are kept.
        user: column of user ids.
        segmentations: how to cut the rows. Defaults to `()`.
        segment_columns: columns for them, a row for each of the split's. Defaults to `None`.

    Raises:
        ValueError: when jobs differ in seeds or split.
    """
    _check_paired(jobs)
    sums = PredictionSums(table.schema.task_names, [job.variant.name for job in jobs], user, segmentations)
    for seed, frame in zip(jobs[0].seeds, study_frames(jobs, table, folder, user, segment_columns), strict=True):
        sums.update(frame, seed)
    return sums


def study_frames(
    jobs: Sequence[Job], table: PreparedTable, folder: Path, user: str, segment_columns: pl.DataFrame | None = None
) -> Iterator[pl.DataFrame]:
    """One frame per seed: users, labels, `VARIANT:TASK` of each job, and further columns.

    Args:
        jobs: the same seeds and split for all.
        table: the prepared table.
        folder: where predictions are kept.
        user: column of user ids.
        segment_columns: further columns, a row for each of the split's. Defaults to `None`.

    Raises:
        ValueError: when jobs differ in seeds or split.
    """
    _check_paired(jobs)
    split, tasks = jobs[0].split, table.schema.task_names
    columns = {user: np.asarray(table.column(split, user)), **{t: np.asarray(table.column(split, t)) for t in tasks}}
    frame = pl.DataFrame(columns)
    if segment_columns is not None:
        frame = frame.with_columns(segment_columns.drop([c for c in segment_columns.columns if c in frame.columns]))
    for seed in jobs[0].seeds:
        predictions: dict[str, np.ndarray] = {}
        for job in jobs:
            with np.load(prediction_file(folder, job, seed)) as found:
                predictions |= {f"{job.variant.name}:{task}": found[task] for task in tasks}
        yield frame.with_columns(**{name: pl.Series(values) for name, values in predictions.items()})


def _check_paired(jobs: Sequence[Job]) -> None:
    if len({(job.seeds, job.split) for job in jobs}) != 1:
        raise ValueError(
            "A paired comparison needs the same seeds and rows for all. Received: "
            f"{[(job.variant.name, job.seeds, job.split) for job in jobs]}."
        )
