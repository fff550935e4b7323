"""Table 1 as pages: Markdown for the repository, HTML for a reader, JSON for a program."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import polars as pl

from ... import reports
from ...datasets import PreparedTable
from ...files import whole_file
from ...reports import GroupRecovery, PredictionSums, Segmentation
from ..training import Training
from .against_controls import against_controls
from .raw_columns import raw_columns
from .run_variants import Job, prediction_file, training_curves
from .study_data import StudyData
from .study_sums import study_frames, study_sums
from .table1_rows import PLACEMENTS, group_argument, library_defaults
from .table1_text import (
    ablation_text,
    introduction,
    recovery_by_row_table,
    recovery_table,
    stability_table,
    trials_table,
)
from .tuning import Trial

# Groups are compared between as many seeds as this: pairs of seeds, or a forest for each.
_SEEDS_COMPARED = 5
_ABLATIONS = """## Defaults and their alternatives

On the validation days, against the baseline of the same seeds, each table with one choice of the candidate changed. Of
a hundred comparisons five lie outside their interval by chance.
"""


@dataclasses.dataclass(frozen=True)
class Table1:
    """All that a study has found.

    Args:
        study: the data set.
        table: the prepared table.
        training: the settings that the baseline was tuned to.
        trials: of the baseline, the best first.
        candidates: of the candidate, the best first.
        jobs: rows of the table, the baseline first.
        ablations: predictions of the other tables by title.
        predictions: folder of the rows' predictions.
    """

    study: StudyData
    table: PreparedTable
    training: Training
    trials: Sequence[Trial]
    candidates: Sequence[Trial]
    jobs: Sequence[Job]
    ablations: Mapping[str, PredictionSums]
    predictions: Path

    @property
    def split(self) -> str:
        """Whose rows are measured."""
        return self.jobs[0].split

    def codes(self, name: str, seed: int) -> dict[str, np.ndarray]:
        """Group ids of a row's model by placement."""
        job = next(job for job in self.jobs if job.variant.name == name)
        with np.load(prediction_file(self.predictions, job, seed)) as found:
            return {p: found[f"groups/{p}"].astype("int32") for p in PLACEMENTS if f"groups/{p}" in found.files}


def write_table1(found: Table1, candidate: str, output: Path, command: str, run: Path) -> list[Path]:
    """Write the pages and return their paths.

    Args:
        found: the study.
        candidate: name of the row whose segments and groups are shown.
        output: folder of the pages.
        command: what reproduces them.
        run: the run folder, which gets the HTML page as `report.html`, too.
    """
    study, table = found.study, found.table
    names = tuple(dict.fromkeys([*(n for cut in study.segments for n in cut), *study.quantiles, *study.features]))
    raw = raw_columns(table, found.split, names)
    codes = found.codes(candidate, found.jobs[0].seeds[0])
    coded = {name: values for p, ids in codes.items() for name, values in Segmentation.code_columns(p, ids).items()}
    raw = raw.with_columns(**{name: pl.Series(values) for name, values in coded.items()})
    cuts = [Segmentation(cut) for cut in study.segments]
    cuts += [Segmentation.quantiles(raw, name) for name in study.quantiles]
    cuts += [Segmentation.codes(p, levels) for p in codes for levels in (1, 2) if levels <= codes[p].shape[1]]
    sums = study_sums(found.jobs, table, found.predictions, study.user, cuts, raw)
    gains, segments = reports.gain_table(sums), reports.segment_report(sums, candidate)
    labels = {task: np.asarray(table.column(found.split, task)) for task in table.schema.task_names}
    days = np.asarray(table.column(found.split, study.time))
    groups = [
        reports.group_report(
            placement, ids, _codebook_size(found, candidate, placement), raw.select(study.features), labels, days
        )
        for placement, ids in codes.items()
    ]
    seeds = found.jobs[0].seeds
    compared = seeds[:_SEEDS_COMPARED]
    stability = {p: reports.group_stability([found.codes(candidate, seed)[p] for seed in compared]) for p in codes}
    recoveries = _recoveries(found, compared)
    pair = [found.jobs[0], next(job for job in found.jobs if job.variant.name == candidate)]
    slices = reports.discover_slices(
        list(study_frames(pair, table, found.predictions, study.user, raw)),
        list(table.schema.task_names),
        [job.variant.name for job in pair],
        study.user,
        list(dict.fromkeys([*(n for cut in study.segments for n in cut), *study.quantiles])),
    )
    controlled = against_controls(found.jobs, table, found.predictions, study.user)
    tables = {title: reports.gain_table(part) for title, part in found.ablations.items()}
    rows = {split: table.rows(split) for split in ("train", "validation", "test")}
    name = "table1" if study.name == "kuairand" else f"table1-{study.name}"
    output.mkdir(parents=True, exist_ok=True)
    page, web, data = (output / f"{name}.{suffix}" for suffix in ("md", "html", "json"))
    described = {
        "command": command,
        "backend": keras.backend.backend(),
        "training": found.training.record(),
        "candidate": dataclasses.asdict(found.candidates[0].variant),
    }
    parts = [
        f"# Table 1 on {study.name}\n",
        introduction(described, found.trials, found.candidates, seeds, rows),
        "## Gains on the test days\n",
        gains.to_markdown(),
        "\n## Against the controls\n",
        *(f"### Over {control}\n\n{part.to_markdown()}\n" for control, part in controlled.items()),
        "\n## Where the candidate gains and loses\n",
        segments.to_markdown(most=8),
        "## The worst slices\n",
        slices.to_markdown(),
        "## What the groups are\n",
        *(report.to_markdown() for report in groups),
        stability_table(stability),
        *([recovery_table(recoveries[candidate][0]), recovery_by_row_table(recoveries)] if recoveries else []),
        *([_ABLATIONS] if tables else []),
        *(ablation_text(title, library_defaults()[title], part) for title, part in tables.items()),
        "## Settings that were tried\n",
        trials_table("baseline", found.trials),
        trials_table("candidate", found.candidates),
    ]
    figures = {
        **described,
        "gains": gains.to_dict(),
        "controls": {control: part.to_dict() for control, part in controlled.items()},
        "segments": segments.to_dict(),
        "slices": slices.to_dict(),
        "stability": stability,
        "recovery": {row: [one.to_dict() for one in several] for row, several in recoveries.items()},
        "ablations": {title: part.to_dict() for title, part in tables.items()},
    }
    for path, text in ((page, "\n".join(parts)), (data, json.dumps(figures))):
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    html = reports.ReportPage(
        f"Table 1 on {study.name}",
        "These are the rows of the paper's Table 1, with GSL and ResL, and their controls.",
        command=command,
        configuration=described,
        seeds=list(seeds),
        rows=rows,
    )
    html.add_gains(gains)
    for control, part in controlled.items():
        html.add_gains(part, title=f"Gains over {control}")
    html.add_segments(segments)
    html.add_calibration(sums, [gains.baseline, candidate])
    for report in groups:
        html.add_groups(report)
    html.add_slices(slices)
    curves = {job.variant.name: training_curves(found.predictions, job) for job in found.jobs}
    html.add_training(curves, baseline=gains.baseline, title="Validation rows, epoch by epoch")
    with whole_file(web) as partial:
        html.write(partial)
    return [page, web, data, html.write(run / "report.html")]


def _recoveries(found: Table1, seeds: Sequence[int]) -> dict[str, list[GroupRecovery]]:
    """How well the groups of each row recover the planted ones, seed by seed."""
    columns = found.study.planted
    planted = {name: np.asarray(found.table.column(found.split, column)) for name, column in columns.items()}
    named = [job.variant.name for job in found.jobs if job.variant.groups and planted]
    return {name: [reports.group_recovery(found.codes(name, seed), planted) for seed in seeds] for name in named}


def _codebook_size(found: Table1, name: str, placement: str) -> int:
    variant = next(job.variant for job in found.jobs if job.variant.name == name)
    return int(group_argument((variant.groups or {})[placement], "codebook_size"))
