"""A baseline and a candidate with groups and residual learning, side by side on one dataset."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..datasets import Dataset, PreparedTable, prepare
from ..distribution import rank
from ..files import RunFolder, run_lock
from ..models import CTRModel
from ..reports.terminal import Terminal
from ..reports.visible_text import visible_text
from ..serving import ExportReport, export, verify
from .out_of_time_teacher import out_of_time_pseudo_labels
from .study_comparison import compare_models
from .study_page import write_study_page
from .study_settings import StudySettings
from .train_model import train_model
from .validation_entropy import ValidationEntropy
from .variant import PSEUDO_LABELS

EXPORT_ROWS = 2000
# Folder of the prepared table in the run folder.
PREPARED = "prepared"


def run_ctr_study(
    dataset: Dataset,
    settings: StudySettings,
    run: Path,
    saved_models: Path,
    max_bad_rows: int = 0,
    console: Terminal | None = None,
    chunk_rows: int = 100_000,
) -> ExportReport:
    """Prepare, train both models, compare them on the test rows, export one of them.

    Every stage is kept in the run folder, so a call after a kill continues where the last one stopped. Processes that
    train together all call this function. They share the rows of training, and the first one writes. The others open
    what it has prepared: they must not call before the prepared table is complete.

    Args:
        dataset: the raw table.
        settings: what to train.
        run: the run folder.
        saved_models: folder of the versions, e.g. `saved_models/criteo_ctr`.
        max_bad_rows: malformed raw rows to skip before giving up. Defaults to `0`.
        console: where to print. Defaults to standard output.
        chunk_rows: raw rows read at a time. Defaults to 100,000.

    Returns:
        The export's report.

    Raises:
        RuntimeError: if another process works in the run folder.
    """
    # The first of several processes holds the folder for all.
    with run_lock(run) if rank() == 0 else contextlib.nullcontext():
        return _run(dataset, settings, run, saved_models, max_bad_rows, console or Terminal(), chunk_rows)


def _run(
    dataset: Dataset,
    settings: StudySettings,
    run: Path,
    saved_models: Path,
    max_bad_rows: int,
    console: Terminal,
    chunk_rows: int,
) -> ExportReport:
    console.print(f"{dataset.name} on {keras.backend.backend()}, run folder {run}")
    table = _prepare(dataset, run / PREPARED, max_bad_rows, console, chunk_rows)
    settings = settings.for_table(table)
    config = {"dataset": dataset.name, "backend": keras.backend.backend(), **settings.record()}
    # A wrong placement or backbone should show now, not after hours of training the baseline.
    settings.candidate(table)
    # After both, so that corrected data or settings can use the same folder.
    folder = RunFolder(run, config)

    def train(build: Callable[[PreparedTable], CTRModel], name: str, **data: Any) -> CTRModel:
        told = {"patience": settings.patience, "seed": settings.seed, "console": console, **data}
        return train_model(lambda: build(table), folder.folder(name), table, settings, **told)

    baseline = train(settings.baseline, "baseline")
    targets = _targets(settings, table, folder, train)
    candidate = train(settings.candidate, "candidate", targets=targets)
    models = {"baseline": baseline, "candidate": candidate}
    comparison = compare_models(table, models)
    folder.write_json("metrics.json", comparison.to_dict())
    folder.write_text("metrics.md", comparison.to_markdown())
    console.print(comparison.to_table(f"Test rows of {dataset.name}, seed {settings.seed}"))
    for note in comparison.notes():
        console.print(note, soft_wrap=True, highlight=False)
    for warning in comparison.warnings():
        console.tagged("Warning: ", "bold yellow", warning)
    remarks = [f"**Warning**: {text}" for text in comparison.warnings()]
    page = write_study_page(dataset.name, table, comparison.sums, candidate, run, comparison.unit, config, remarks)
    console.print(f"Report: {page}", soft_wrap=True)
    chosen = _choose(settings, models, table, folder, console)
    report = _export(dataset, models[chosen], table, folder, saved_models, max_bad_rows)
    console.print(str(report), soft_wrap=True, highlight=False)
    console.print(f"Raw rows as they stand in the file, scored by {report.path}:", soft_wrap=True, highlight=False)
    console.print(_scored_rows(report))
    return report


def _prepare(
    dataset: Dataset, destination: Path, max_bad_rows: int, console: Terminal, chunk_rows: int
) -> PreparedTable:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bars: dict[str, Any] = {}

        def on_progress(stage: str, done: int, total: int | None) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(f"prepare: {stage}", total=total)
            progress.update(bars[stage], completed=done, total=total)

        table = prepare(dataset, destination, chunk_rows, max_bad_rows, on_progress)
    rows = ", ".join(f"{split} {table.rows(split):,}" for split in ("train", "validation", "test"))
    console.print(f"prepared rows: {rows}; malformed rows skipped: {table.report['bad_rows']}", highlight=False)
    imputed = sum(sum(by_split.values()) for by_split in table.report["imputed"].values())
    if imputed:
        console.print(f"missing or infinite numbers imputed with the training mean: {imputed:,}", highlight=False)
    return table


def _targets(
    settings: StudySettings, table: PreparedTable, folder: RunFolder, train: Callable[..., CTRModel]
) -> dict[str, Any] | None:
    columns = {task: PSEUDO_LABELS.format(task=task) for task in table.schema.task_names}
    if settings.teacher == "self":
        return None
    if settings.teacher == "column":
        return {column: table.column("train", column) for column in columns.values()}

    def train_teacher(rows: slice) -> CTRModel:
        return train(settings.baseline, "teacher", rows=rows)

    return out_of_time_pseudo_labels(train_teacher, table, columns, folder.folder("teacher"))


def _choose(
    settings: StudySettings, models: Mapping[str, CTRModel], table: PreparedTable, folder: RunFolder, console: Terminal
) -> str:
    """Name of the model to export; a resumed run keeps its earlier choice."""
    if settings.exported == "candidate":
        return "candidate"
    found = folder.read_json("validation.json")
    if found is None:
        measure = ValidationEntropy(table).measure
        found = {name: measure(model) for name, model in models.items()}
        folder.write_json("validation.json", found)
    chosen = "candidate" if found["candidate"] < found["baseline"] else "baseline"
    console.print(
        f"The {chosen} is exported, since it has the lower mean NE on the validation rows: baseline "
        f"{found['baseline']:.5f}, candidate {found['candidate']:.5f}. The test rows had no part in the choice.",
        soft_wrap=True,
        highlight=False,
    )
    return chosen


def _export(
    dataset: Dataset,
    model: CTRModel,
    table: PreparedTable,
    folder: RunFolder,
    saved_models: Path,
    max_bad_rows: int,
) -> ExportReport:
    rows = next(iter(dataset.chunks(EXPORT_ROWS, max_bad_rows))).head(EXPORT_ROWS)
    done = folder.read_json("export.json")
    if done is not None and Path(done["path"]).exists():
        return verify(model, done["path"], table.transforms, rows)
    report = export(model, saved_models, transforms=table.transforms, rows=rows)
    folder.write_json(
        "export.json",
        {"path": str(report.path.resolve()), "rows": report.rows, "max_difference": report.max_difference},
    )
    return report


def _scored_rows(report: ExportReport, count: int = 5, columns: int = 3) -> Table:
    """The first raw rows with what the SavedModel answered."""
    table = Table()
    shown = list(report.raw)[:columns]
    for name in shown:
        table.add_column(Text(visible_text(name)), no_wrap=True, max_width=24)
    if len(report.raw) > columns:
        table.add_column(f"+{len(report.raw) - columns}", no_wrap=True)
    for task in report.probabilities:
        table.add_column(f"P({task})", justify="right", no_wrap=True)
    for row in range(min(count, report.rows)):
        cells = [_cell(report.raw[name][row]) for name in shown]
        cells += ["…"] if len(report.raw) > columns else []
        table.add_row(*map(Text, cells), *(f"{values[row]:.4f}" for values in report.probabilities.values()))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return visible_text(value.decode("utf-8", "replace"))
    return f"{value:g}" if isinstance(value, float | np.floating) else visible_text(value)
