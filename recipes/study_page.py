"""The page of a study: the results, how sure they are, and what was learned."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import reports
from ..datasets import PreparedTable
from ..files import whole_file
from ..models import CTRModel
from .paired_study.raw_columns import raw_columns

# Number of rows that describe groups: enough for shares and rates, and read in seconds.
_GROUP_ROWS = 50_000
# Columns with more values than this are ids, which do not describe a group.
_MOST_VALUES = 200


def write_study_page(
    name: str,
    table: PreparedTable,
    sums: reports.PredictionSums,
    candidate: CTRModel,
    run: Path,
    unit: str = "row",
    configuration: Mapping[str, Any] | None = None,
    remarks: Sequence[str] = (),
) -> Path:
    """Write `report.html` into the run folder, and return its path.

    It holds gains with their intervals, calibration, the training curves of `history.csv`, and what the candidate's
    groups are. Nothing is trained for it.

    Args:
        name: of the data set.
        table: the prepared table.
        sums: predictions of baseline and candidate on the test rows.
        candidate: the trained candidate.
        run: the run folder, which holds a folder per model.
        unit: what the sums take as independent: the column of users, or `"row"`. Defaults to `"row"`.
        configuration: of the run. Defaults to `None`.
        remarks: further facts that a reader must know, one or two sentences each. Defaults to `()`.

    Example:

    ```python
    write_study_page("my-log", table, sums, candidate, Path("runs/my-log"), unit="user_id")
    ```
    """
    settings = dict(configuration or {})
    gains = reports.gain_table(sums)
    page = reports.ReportPage(
        f"Baseline and candidate on {name}",
        _summary(candidate, unit, remarks),
        configuration=settings,
        seeds=[settings["seed"]] if "seed" in settings else (),
        rows={split: table.rows(split) for split in ("train", "validation", "test")},
    )
    page.add_gains(gains, unit="rows" if unit == "row" else f"users ({unit})")
    page.add_calibration(sums)
    histories = {model: [found] for model in sums.models if (found := _history(run / model / "history.csv"))}
    if histories:
        page.add_training(histories, baseline=gains.baseline)
    for report in _group_reports(table, candidate):
        page.add_groups(report)
    with whole_file(run / "report.html") as partial:
        page.write(partial)
    return run / "report.html"


def _summary(candidate: CTRModel, unit: str, remarks: Sequence[str]) -> str:
    added = [f"GSL ({', '.join(candidate.group_concats)})"] if candidate.group_concats else []
    added += ["ResL"] if candidate.residual_learning else []
    parts = [f"The candidate is the baseline with {' and '.join(added)}." if added else ""]
    if unit == "row":
        parts.append(
            "No column tells the users apart, so the intervals take rows as independent: where a user has several "
            "rows, they are too narrow."
        )
    return "\n\n".join([" ".join(part for part in parts if part), *remarks]).strip()


def _history(path: Path) -> dict[str, list[float]]:
    """Figures by epoch; empty for a model without them."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [name for name in rows[0] if name] if rows else []
    return {name: [_number(row[name]) for row in rows] for name in names}


def _number(text: str | None) -> float:
    """A figure; NaN where the epoch has none, or words."""
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _group_reports(table: PreparedTable, candidate: CTRModel) -> list[reports.GroupReport]:
    """What each placement's groups are, by the first test rows."""
    rows = slice(0, _GROUP_ROWS)
    if not candidate.group_concats:
        return []
    ids = candidate.groups(table.batches("test", 8192, rows=rows))
    features = raw_columns(table, "test", _telling(table), rows)
    labels = {task: np.asarray(table.column("test", task)[rows]) for task in table.schema.task_names}
    return [
        reports.group_report(placement, codes, candidate.group_concats[placement].codebook_size, features, labels)
        for placement, codes in ids.items()
    ]


def _telling(table: PreparedTable) -> list[str]:
    """Features whose values can be told in words."""
    transforms = table.transforms.columns.items()
    return [name for name, transform in transforms if transform.is_readable(_MOST_VALUES)]
