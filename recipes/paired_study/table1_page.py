"""Table 1 as pages: Markdown for the repository, HTML for a reader, JSON for a program."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from ... import reports
from ...datasets import PreparedTable
from ...reports import PredictionSums, Segmentation
from ...reports.markdown import markdown_table
from .raw_columns import raw_columns
from .run_variants import Job, prediction_file
from .study_data import StudyData
from .study_sums import study_sums
from .training import Training
from .tuning import Trial

PLACEMENTS = ("user", "user_ad", "representation")


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


def write_table1(found: Table1, candidate: str, output: Path, command: str) -> list[Path]:
    """Write the pages and return their paths.

    Args:
        found: the study.
        candidate: name of the row whose segments and groups are shown.
        output: folder of the pages.
        command: what reproduces them.
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
    stability = {
        placement: reports.group_stability([found.codes(candidate, seed)[placement] for seed in seeds[:5]])
        for placement in codes
    }
    recovery = None
    if study.planted:
        planted = {name: np.asarray(table.column(found.split, column)) for name, column in study.planted.items()}
        recovery = reports.group_recovery(codes, planted)
    tables = {title: reports.gain_table(part) for title, part in found.ablations.items()}
    name = "table1" if study.name == "kuairand" else f"table1-{study.name}"
    output.mkdir(parents=True, exist_ok=True)
    page, web, data = (output / f"{name}.{suffix}" for suffix in ("md", "html", "json"))
    described = {
        "command": command,
        "backend": keras.backend.backend(),
        "training": dataclasses.asdict(found.training),
        "candidate": dataclasses.asdict(found.candidates[0].variant),
    }
    parts = [
        f"# Table 1 on {study.name}\n",
        _introduction(found, described),
        "## Gains on the test days\n",
        gains.to_markdown(),
        "\n## Where the candidate gains and loses\n",
        segments.to_markdown(most=8),
        "## What the groups are\n",
        *(report.to_markdown() for report in groups),
        _stability(stability),
        *([] if recovery is None else [_recovery(recovery)]),
        "## What the defaults are held against\n",
        "On the validation days, against the baseline of the same seeds.\n",
        *(f"### {title}\n\n{part.to_markdown()}\n" for title, part in tables.items()),
        "## Settings that were tried\n",
        _trials("baseline", found.trials),
        _trials("candidate", found.candidates),
    ]
    page.write_text("\n".join(parts), encoding="utf-8")
    data.write_text(
        json.dumps(
            {
                **described,
                "gains": gains.to_dict(),
                "segments": segments.to_dict(),
                "stability": stability,
                "recovery": None if recovery is None else recovery.to_dict(),
                "ablations": {title: part.to_dict() for title, part in tables.items()},
            }
        ),
        encoding="utf-8",
    )
    rows = {split: table.rows(split) for split in ("train", "validation", "test")}
    html = reports.ReportPage(
        f"Table 1 on {study.name}",
        "Rows of the paper's Table 1 and their controls, under paired seeds.",
        command=command,
        configuration=described,
        seeds=list(seeds),
        rows=rows,
    )
    html.add_gains(gains)
    html.add_segments(segments)
    html.add_calibration(sums, [gains.baseline, candidate])
    for report in groups:
        html.add_groups(report)
    html.write(web)
    return [page, web, data]


def _codebook_size(found: Table1, name: str, placement: str) -> int:
    variant = next(job.variant for job in found.jobs if job.variant.name == name)
    return int((variant.groups or {})[placement].get("codebook_size", 256))


def _introduction(found: Table1, described: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{split} {found.table.rows(split):,}" for split in ("train", "validation", "test"))
    training = ", ".join(f"{name} {value}" for name, value in described["training"].items())
    return (
        f"`{described['command']}` on {described['backend']}; rows: {counts}; {len(found.jobs[0].seeds)} paired seeds. "
        f"The baseline's settings were chosen on the validation days from {len(found.trials)} trials, the candidate's "
        f"from {len(found.candidates)} more; the test days were read once.\n\nBaseline: {training}.\n\n"
        f"Candidate: {_arguments(found.candidates[0])}.\n"
    )


def _arguments(trial: Trial) -> str:
    variant = trial.variant
    groups = next(iter((variant.groups or {}).values()), {})
    settings = {**(variant.training or {}), **groups, **(variant.residual or {})}
    if variant.residual is not None:
        settings["teacher"] = variant.teacher
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _trials(title: str, trials: Sequence[Trial]) -> str:
    tasks = list(trials[0].entropies)
    rows = [
        (_arguments(trial), *(f"{trial.entropies[task]:.4f}" for task in tasks), f"{trial.score:.5f}")
        for trial in trials
    ]
    return f"### Trials of the {title}\n\n" + markdown_table(("settings", *tasks, "score"), rows) + "\n"


def _stability(stability: Mapping[str, Sequence[float | None]]) -> str:
    levels = max(len(values) for values in stability.values())
    columns = ("placement", *(f"levels 1 – {level + 1}" if level else "level 1" for level in range(levels)))
    rows = []
    for placement, values in stability.items():
        cells = ["–" if value is None else f"{value:.3f}" for value in values]
        rows.append((placement, *cells, *[""] * (levels - len(cells))))
    text = "Adjusted mutual information between the groups of pairs of seeds: 1 if they cut alike, 0 by chance.\n\n"
    return f"### Do seeds agree?\n\n{text}{markdown_table(columns, rows)}\n"


def _recovery(recovery: reports.GroupRecovery) -> str:
    placements = list(next(iter(recovery.mutual_information.values())))
    rows = []
    for factor, by in recovery.mutual_information.items():
        read = (recovery.informativeness[factor], recovery.chance[factor])
        rows.append((factor, *(f"{by[p]:.3f}" for p in placements), *(f"{value:.3f}" for value in read)))
    columns = ("planted", *(f"AMI, {p}" for p in placements), "informativeness", "by chance")
    text = (
        f"Disentanglement {recovery.disentanglement:.3f}, completeness {recovery.completeness:.3f} "
        "(Eastwood and Williams, 2018).\n"
    )
    return f"### Are planted groups found?\n\n{markdown_table(columns, rows)}\n\n{text}"
