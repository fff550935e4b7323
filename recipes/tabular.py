"""Your own table: any features, any tasks, CSV or Parquet.

`python -m grouprank.recipes.tabular --init --data my.csv --schema my.yaml` drafts a description of the columns;
correct what it marks. Then `python -m grouprank.recipes.tabular --data my.csv --schema my.yaml` trains a baseline and a
candidate with groups and residual learning, compares them on the last tenth of the rows and exports the one that is
better on the validation rows.

`grouprank.datasets.TableDescription` says what the description may hold, `grouprank.datasets.Tabular` how rows are read
and split.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..datasets import Dataset, TableDescription, Tabular
from ..datasets.prepare import CHUNK_ROWS
from ..datasets.raw_files.bad_rows import BadRows as BadRowCount
from ..distribution import rank
from ..files import whole_file
from ..reports.terminal import Terminal
from ..reports.visible_text import visible_text
from ..schema import Categorical
from .command import (
    Backbone,
    BadRows,
    BatchSize,
    ChunkRows,
    Devices,
    Epochs,
    Histories,
    JaxProcesses,
    MultiTask,
    Patience,
    Run,
    SavedModels,
    Seed,
    run_command,
    run_study,
    take_part,
)
from .drafting import REVIEW, ColumnProfile, ask, draft_columns, profile_columns, to_yaml
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, exported="better")
# Enough to tell kinds of columns.
_ROWS_LOOKED_AT = 205_000
_PLACEMENTS = {"user": ("user",), "user_ad": ("user", "ad"), "representation": ()}


def main(
    data: Annotated[Path, typer.Option("--data", help="The table: .csv, .tsv (also .gz) or .parquet.")],
    schema: Annotated[
        Path | None, typer.Option("--schema", help="Description of its columns. Default: DATA's name, .yaml.")
    ] = None,
    init: Annotated[bool, typer.Option("--init", help="Draft --schema from the table, then stop.")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", help="With --init: ask about every column.")] = False,
    validation: Annotated[
        str,
        typer.Option(help="Share of rows for validation (as many for testing), or the column that names the split."),
    ] = "0.1",
    random_split: Annotated[bool, typer.Option("--random-split", help="Split at random, not in time.")] = False,
    run: Run = None,
    saved_models: SavedModels = Path("saved_models"),
    backbone: Backbone = SETTINGS.backbone,
    multi_task: MultiTask = SETTINGS.multi_task,
    sequence_encoder: Histories = SETTINGS.sequence_encoder,
    groups: Annotated[
        str | None,
        typer.Option(help="Placements of groups, comma separated. Default: all that the sides allow."),
    ] = None,
    teacher: Annotated[str, typer.Option(help="Pseudo-labels of residual learning: self or out_of_time.")] = "self",
    epochs: Epochs = SETTINGS.epochs,
    patience: Patience = SETTINGS.patience,
    batch_size: BatchSize = SETTINGS.batch_size,
    seed: Seed = SETTINGS.seed,
    devices: Devices = 1,
    jax_processes: JaxProcesses = 1,
    max_bad_rows: BadRows = 0,
    chunk_rows: ChunkRows = CHUNK_ROWS,
) -> None:
    """Train a baseline and a candidate (groups and residual learning) on a table of your own, or draft its schema."""
    name = re.sub(r"\W+", "_", data.name.split(".")[0])
    schema = schema or data.with_name(f"{data.name.split('.')[0]}.yaml")
    if init:
        _run_init(data, schema, interactive)
        return
    take_part(devices, jax_processes)

    def settings() -> StudySettings:
        if teacher == "column":
            raise ValueError("A table of your own has no teacher's columns. Pass --teacher self or out_of_time.")
        return dataclasses.replace(
            SETTINGS,
            backbone=backbone,
            multi_task=multi_task,
            sequence_encoder=sequence_encoder,
            group_structure=_placements(groups, TableDescription.read(schema)),
            teacher=teacher,
            epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            seed=seed,
        )

    def dataset() -> Dataset:
        table = Tabular(data, schema, _share_or_column(validation), random_split, seed)
        # Only after the description was checked.
        if rank() == 0:
            _warn_of_unique_columns(table.description, profile_columns(data, _ROWS_LOOKED_AT))
        return table

    run_study(name, dataset, settings, run, saved_models, max_bad_rows, chunk_rows=chunk_rows)


def _placements(groups: str | None, description: TableDescription) -> tuple[str, ...]:
    if groups is not None:
        return tuple(part.strip() for part in groups.split(",") if part.strip())
    sides = {column.side for column in description.columns}
    return tuple(placement for placement, needed in _PLACEMENTS.items() if sides.issuperset(needed))


def _share_or_column(validation: str) -> float | str:
    try:
        return float(validation)
    except ValueError:
        return validation


def _warn_of_unique_columns(description: TableDescription, profiles: Sequence[ColumnProfile]) -> None:
    ids = [c for c in description.columns if isinstance(c.feature(1), Categorical) and c.dtype != "float32"]
    tokens = {column.raw_name: column.name for column in ids}
    for profile in profiles:
        if profile.name in tokens and profile.is_unique:
            Terminal(stderr=True).tagged(
                "Warning: ",
                "bold yellow",
                f"feature {tokens[profile.name]!r} has a value of its own in every one of the first {profile.rows:,} "
                "rows: an id of the row, or a leak. It can teach a model nothing that holds for other rows; remove it "
                "from the description.",
            )


def _run_init(data: Path, schema: Path, interactive: bool) -> None:
    terminal = Terminal()
    if schema.exists():
        raise ValueError(f"{schema} exists and is not overwritten. Pass another --schema, or delete it.")
    bad_rows = BadRowCount(_ROWS_LOOKED_AT)
    drafts = draft_columns(data, _ROWS_LOOKED_AT, bad_rows)
    if interactive:
        ask(drafts, lambda question, guess: str(typer.prompt(visible_text(question), default=guess)))
    text = to_yaml(drafts, f"the first {_ROWS_LOOKED_AT:,} rows of {data}")
    with whole_file(schema) as partial:
        partial.write_text(text, encoding="utf-8")
    terminal.print(text, soft_wrap=True)
    if bad_rows.count:
        terminal.tagged("Warning: ", "bold yellow", f"{bad_rows.count:,} malformed rows were passed over.")
    doubts = text.count(f"{REVIEW}:")
    places = "1 place" if doubts == 1 else f"{doubts} places"
    look = f"Look at the {places} marked {REVIEW}, then run" if doubts else "Run"
    terminal.print(f"Written to {schema}. {look} without --init.", soft_wrap=True)


if __name__ == "__main__":
    run_command(main)
