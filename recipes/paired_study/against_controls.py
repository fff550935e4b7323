"""Rows of a study against the controls that they have to beat."""

from collections.abc import Sequence
from pathlib import Path

from ...datasets import PreparedTable
from ...reports import GainTable, gain_table
from ..variant import Variant
from .run_variants import Job
from .study_sums import study_sums


def against_controls(jobs: Sequence[Job], table: PreparedTable, predictions: Path, user: str) -> dict[str, GainTable]:
    """Gains over each control, by its name, of the rows that claim more than it has.

    Groups must gain over random codes of equal width and over a network of equal size. Residual learning must gain over
    distillation from the same teacher, or from an ensemble where the candidate teaches itself.

    Args:
        jobs: rows of the study, controls included, under the same seeds.
        table: the prepared table.
        predictions: folder of the rows' predictions.
        user: column of user ids.
    """
    found = {}
    for control in jobs:
        claimed = [job for job in jobs if _claims_more(job.variant, control.variant)]
        if claimed:
            sums = study_sums([control, *claimed], table, predictions, user)
            found[control.variant.name] = gain_table(sums)
    return found


def _claims_more(row: Variant, control: Variant) -> bool:
    if _is_distillation(control):
        return row.residual is not None and not _is_distillation(row)
    grouped_alone = bool(row.groups) and row.residual is None
    if control.random_codes:
        return grouped_alone and tuple(row.groups or ()) == control.random_codes
    return control.width != 1.0 and grouped_alone


def _is_distillation(variant: Variant) -> bool:
    return variant.residual is not None and not variant.residual.get("weight", 1.0)
