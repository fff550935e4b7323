"""Trains variants under paired seeds, in as many processes as there are cores to spare, and keeps their predictions."""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import PreparedTable
from ...files import whole_file
from ..training import Training
from ..variant import Variant
from .paired_trainer import PairedTrainer, parameters
from .pseudo_labels import pseudo_labels
from .random_codes import RandomCodes
from .study_columns import StudyColumns

CURVES = "curves"


@dataclasses.dataclass(frozen=True)
class Job:
    """A variant to be trained under some seeds.

    Args:
        variant: what to train.
        seeds: under which seeds.
        split: whose rows to predict.
    """

    variant: Variant
    seeds: tuple[int, ...]
    split: str


def run_variants(
    jobs: Sequence[Job],
    table: Path,
    training: Training,
    folder: Path,
    ids: tuple[str, str],
    workers: int = 1,
    on_done: Callable[[str], None] = print,
) -> None:
    """Train what has not been trained, and write `FOLDER/VARIANT/SPLIT-SEED.npz`.

    Beside predictions of the test rows stand `curves-SEED.json`, the NE of the validation rows by epoch.

    Args:
        jobs: what to train.
        table: folder of the prepared table.
        training: the study's settings.
        folder: folder of the predictions; runs whose predictions exist are not trained again.
        ids: columns that tell users and ads apart, for the control of random codes.
        workers: processes; with several each keeps to one core. Defaults to `1`.
        on_done: called with a line of text after each run. Defaults to `print`.
    """
    left = [(job, [seed for seed in job.seeds if not prediction_file(folder, job, seed).exists()]) for job in jobs]
    left = [(job, seeds) for job, seeds in left if seeds]
    teachers = {job.variant.teacher for job, _ in left if job.variant.residual is not None}
    for kind in sorted(teachers):
        # Before the workers start, since each would make them.
        pseudo_labels(kind, PreparedTable(table), training, folder / "teachers")
    calls = [(job, tuple(seeds), table, training, folder, ids) for job, seeds in left]
    if workers == 1:
        for call in calls:
            for line in _run(*call):
                on_done(line)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_one_core) as pool:
        for done in concurrent.futures.as_completed([pool.submit(_run_all, *call) for call in calls]):
            for line in done.result():
                on_done(line)


def training_curves(folder: Path, job: Job) -> list[dict[str, list[float]]]:
    """NE by epoch of a job's seeds under Keras' names, `val_TASK_normalized_entropy`; those that were kept."""
    files = [prediction_file(folder, job, seed).with_name(f"{CURVES}-{seed}.json") for seed in job.seeds]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def prediction_file(folder: Path, job: Job, seed: int) -> Path:
    """Where a run's predictions are kept."""
    return folder / job.variant.name.replace("/", "-") / f"{job.split}-{seed}.npz"


def _write_json(path: Path, value: Any) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _one_core() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()


def _run_all(*call: object) -> list[str]:
    return list(_run(*call))  # type: ignore[arg-type]


def _run(
    job: Job, seeds: Sequence[int], table: Path, training: Training, folder: Path, ids: tuple[str, str]
) -> list[str]:
    prepared, variant, lines = PreparedTable(table), job.variant, []
    keys = {"user": ids[:1], "user_ad": ids, "representation": ids}
    random = None
    if variant.random_codes:
        random = RandomCodes({p: keys[p] for p in variant.random_codes}, *variant.random_shape)
    teacher = variant.teacher if variant.residual is not None else "self"
    columns = StudyColumns(prepared, random, pseudo_labels(teacher, prepared, training, folder / "teachers"))
    trainer = PairedTrainer(variant, training, columns)
    for seed in seeds:
        path = prediction_file(folder, job, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        curves: dict[str, list[float]] = {}
        start = time.perf_counter()
        # Only runs whose test rows are measured need validation curves; trials are measured on the validation rows.
        model = trainer.train(seed, curves=curves if job.split == "test" else None)
        seconds = time.perf_counter() - start
        if curves:
            _write_json(path.with_name(f"{CURVES}-{seed}.json"), curves)
        network, embeddings = parameters(model)
        described = {"network": network, "embeddings": embeddings, "variant": dataclasses.asdict(variant)}
        _write_json(path.parent / "model.json", described)
        predictions: dict[str, Any] = {**trainer.predictions(model, job.split)}
        # Last, since this file marks the run as done.
        with whole_file(path) as partial:
            np.savez(partial, **predictions)
        lines.append(f"{variant.name}, seed {seed}: {seconds:.0f} s")
    return lines
