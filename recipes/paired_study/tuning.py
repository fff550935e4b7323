"""Settings chosen on the validation rows."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import PreparedTable
from ...reports import task_metrics
from ..training import Training
from ..variant import Variant
from .run_variants import Job, prediction_file, run_variants


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one choice of settings reached on the validation rows.

    Args:
        variant: the settings.
        entropies: NE by task, mean over seeds.
        score: mean over tasks of the NE relative to the first trial's; less is better.
    """

    variant: Variant
    entropies: dict[str, float]
    score: float


def draw_choices(space: Mapping[str, Sequence[Any]], budget: int, seed: int = 0) -> list[dict[str, Any]]:
    """`budget` different points of a grid, drawn by chance; the first is the first value of each.

    Example:

    >>> draw_choices({"dropout": [0.3, 0.0], "epochs": [2]}, budget=5)
    [{'dropout': 0.3, 'epochs': 2}, {'dropout': 0.0, 'epochs': 2}]
    """
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    order = 1 + np.random.default_rng(seed).permutation(len(grid) - 1)
    return [grid[0], *(grid[index] for index in order[: budget - 1])]


def tune(
    variants: Sequence[Variant],
    table: Path,
    training: Training,
    folder: Path,
    ids: tuple[str, str],
    seeds: Sequence[int],
    workers: int = 1,
    on_done: Callable[[str], None] = print,
) -> list[Trial]:
    """Train variants and measure them on the validation rows; returns the trials, the best first.

    Args:
        variants: the choices.
        table: folder of the prepared table.
        training: the study's settings.
        folder: where predictions are kept.
        ids: columns that tell users and ads apart.
        seeds: under which each choice is trained.
        workers: processes. Defaults to `1`.
        on_done: called with a line of text after each run. Defaults to `print`.
    """
    jobs = [Job(variant, tuple(seeds), "validation") for variant in variants]
    run_variants(jobs, table, training, folder, ids, workers, on_done)
    prepared = PreparedTable(table)
    tasks = prepared.schema.task_names
    found = []
    for job in jobs:
        entropies: dict[str, list[float]] = {task: [] for task in tasks}
        for seed in seeds:
            with np.load(prediction_file(folder, job, seed)) as predicted:
                for task in tasks:
                    metrics = task_metrics(prepared.column("validation", task), predicted[task])
                    entropies[task].append(metrics.normalized_entropy or float("nan"))
        found.append({task: float(np.mean(values)) for task, values in entropies.items()})
    scores = [float(np.mean([one[task] / found[0][task] for task in tasks])) for one in found]
    trials = [Trial(*parts) for parts in zip(variants, found, scores, strict=True)]
    return sorted(trials, key=lambda trial: trial.score)
