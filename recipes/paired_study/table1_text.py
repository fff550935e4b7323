"""Paragraphs and tables of the Table 1 page in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...reports import GainTable, GroupRecovery
from ...reports.markdown import markdown_table
from .tuning import Trial


def introduction(
    described: Mapping[str, Any],
    trials: Sequence[Trial],
    candidates: Sequence[Trial],
    seeds: Sequence[int],
    rows: Mapping[str, int],
) -> str:
    """What was run.

    Args:
        described: command, backend and settings.
        trials: of the baseline, the best first.
        candidates: of the candidate, the best first.
        seeds: paired ones.
        rows: by split.
    """
    counts = ", ".join(f"{split} {count:,}" for split, count in rows.items())
    training = ", ".join(f"{name} {value}" for name, value in described["training"].items())
    return (
        f"`{described['command']}` on {described['backend']}; rows: {counts}; {len(seeds)} paired seeds. "
        f"The baseline's settings were chosen on the validation days from {len(trials)} trials, the candidate's "
        f"from {len(candidates)} more; the test days were read once.\n\nBaseline: {training}.\n\n"
        f"Candidate: {_arguments(candidates[0])}.\n"
    )


def _arguments(trial: Trial) -> str:
    variant = trial.variant
    groups = next(iter((variant.groups or {}).values()), {})
    settings = {**(variant.training or {}), **groups, **(variant.residual or {})}
    if variant.residual is not None:
        settings["teacher"] = variant.teacher
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def trials_table(title: str, trials: Sequence[Trial]) -> str:
    """What was tried, the best first, as NE of the validation rows."""
    tasks = list(trials[0].entropies)
    rows = [
        (_arguments(trial), *(f"{trial.entropies[task]:.4f}" for task in tasks), f"{trial.score:.5f}")
        for trial in trials
    ]
    return f"### Trials of the {title}\n\n" + markdown_table(("settings", *tasks, "score"), rows) + "\n"


def stability_table(stability: Mapping[str, Sequence[float | None]]) -> str:
    """How much the groups of pairs of seeds agree, by placement and number of levels."""
    levels = max(len(values) for values in stability.values())
    columns = ("placement", *(f"levels 1 – {level + 1}" if level else "level 1" for level in range(levels)))
    rows = []
    for placement, values in stability.items():
        cells = ["–" if value is None else f"{value:.3f}" for value in values]
        rows.append((placement, *cells, *[""] * (levels - len(cells))))
    text = "Adjusted mutual information between the groups of pairs of seeds: 1 for the same groups, 0 by chance.\n\n"
    return f"### Do seeds agree?\n\n{text}{markdown_table(columns, rows)}\n"


def recovery_table(recovery: GroupRecovery) -> str:
    """How well planted groups were found."""
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


def recovery_by_row_table(found: Mapping[str, Sequence[GroupRecovery]]) -> str:
    """How well each row's groups recover the planted ones, at the best placement for each factor.

    Args:
        found: a recovery for each seed, by row.
    """
    factors = list(next(iter(found.values()))[0].mutual_information)
    rows = []
    for name, recoveries in found.items():
        cells = []
        for factor in factors:
            seeds = [recovery.mutual_information[factor] for recovery in recoveries]
            means = {placement: float(np.mean([by[placement] for by in seeds])) for placement in seeds[0]}
            best = max(means, key=means.__getitem__)
            values = [by[best] for by in seeds]
            cells.append(f"{means[best]:.3f} ({min(values):.3f} – {max(values):.3f}), {best}")
        rows.append((name, *cells))
    count = max(len(recoveries) for recoveries in found.values())
    text = f"Adjusted mutual information with the planted groups: mean of {count} seeds (least – most), and where.\n\n"
    return f"### Which rows find planted groups?\n\n{text}{markdown_table(('row', *factors), rows)}\n"


def ablation_text(title: str, default: str, part: GainTable) -> str:
    """A table that compares a default with alternatives, and its result.

    Args:
        title: the table's.
        default: the library's default.
        part: gains over the baseline.
    """
    found = [
        f"{gain.model} is {gain.verdict} on {gain.task}" for gain in part.gains if gain.verdict in ("better", "worse")
    ]
    said = f"{'; '.join(found)}." if found else "No choice differs visibly from the baseline on any task."
    return f"### {title}\n\nThe library's default is `{default}`. {said}\n\n{part.to_markdown()}\n"
