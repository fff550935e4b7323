"""A log that goes on day by day: what daily training and growing ids are worth on it.

`python -m grouprank.recipes.daily --synthetic`, `--data DIR` (KuaiRand-Pure, or Criteo's terabyte day files) or
`--schema my.yaml --data FOLDER`

Trains the same model in five ways, each scored on every day before it is trained on it: left to age after the first
days, daily with frozen vocabularies, daily with growing ids, daily with hashed ids, and from scratch every day on all
days before. Writes one page with NE by day, the gains with their intervals, the ids by day, and the drift of the
columns and of learned groups. With `--seeds` the intervals hold the noise of the seeds, too.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import keras
import typer
from rich.table import Table

from ..datasets import GrowingColumn, TableDescription
from ..datasets.prepare import CHUNK_ROWS
from ..files import RunFolder, run_lock
from ..incremental import periods
from ..reports.terminal import Terminal
from .command import BadRows, ChunkRows, Run, Seed, run_command
from .daily_log import IDS, describe, generated_log, official_log, write_daily_log
from .daily_page import daily_page
from .daily_report import DailyReport
from .daily_settings import DailySettings
from .daily_variants import DailyVariants, Day, training_seconds

SETTINGS = DailySettings()


def main(
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The generated log of ads.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Official files of KuaiRand-Pure or of Criteo's terabyte log; with --schema a log of your own.",
        ),
    ] = None,
    schema: Annotated[Path | None, typer.Option("--schema", help="Description of the columns of your own log.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Its column of times. Default: a file or a folder a day.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--ids", help="Its id columns, comma separated. Default: the growing ones.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Its column of users, for the intervals.")] = None,
    rows: Annotated[int, typer.Option(min=1000, help="With --synthetic: impressions to generate.")] = 100_000,
    run: Run = None,
    preset: Annotated[str, typer.Option(help="The model of all variants.")] = SETTINGS.preset,
    embedding_dim: Annotated[int, typer.Option(min=1, help="Width of its embeddings.")] = SETTINGS.embedding_dim,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per training step.")] = SETTINGS.batch_size,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the rows of a day.")] = SETTINGS.epochs,
    first_days: Annotated[int, typer.Option(min=1, help="Days that every variant begins with.")] = SETTINGS.first_days,
    capacity: Annotated[
        int, typer.Option(min=1, help="Tokens of a growing id column, and buckets of a hashed one.")
    ] = SETTINGS.capacity,
    seed: Seed = SETTINGS.seed,
    seeds: Annotated[int, typer.Option(min=1, help="Paired seeds, from --seed on; more may be added to a run.")] = 1,
    max_bad_rows: BadRows = 0,
    chunk_rows: ChunkRows = CHUNK_ROWS,
) -> None:
    """Compare daily training with growing ids to other ways to meet a log that goes on."""
    if synthetic == (data is not None) or (schema is not None and data is None):
        raise ValueError("Pass --synthetic, --data DIR (KuaiRand-Pure or Criteo), or --schema my.yaml --data FOLDER.")
    known = generated_log(rows, seed) if data is None else official_log(data) if schema is None else None
    name = known.name if known is not None else (data or Path()).name.split(".")[0]
    folder = run or Path("runs") / "daily" / f"{name}-{keras.backend.backend()}-seed-{seed}"
    settings = dataclasses.replace(
        SETTINGS,
        preset=preset,
        embedding_dim=embedding_dim,
        batch_size=batch_size,
        epochs=epochs,
        first_days=first_days,
        capacity=capacity,
        seed=seed,
    )
    console = Terminal(width=None if sys.stdout.isatty() else 120)
    with run_lock(folder):
        log, source = folder / "log", {"log": name, "rows": rows if synthetic else None}
        RunFolder(folder, source)
        if schema is not None and data is not None:
            description = TableDescription.read(schema)
            growing = [column.name for column in description.columns if isinstance(column, GrowingColumn)]
            chosen = growing if ids is None else [part.strip() for part in ids.split(",")]
            if not chosen:
                raise ValueError(f"{schema} has no `growing` column. Name the columns of ids with --ids user_id,ad_id.")
            days = periods(data, time, chunk_rows=chunk_rows, max_bad_rows=max_bad_rows)
        elif known is not None:
            write_daily_log(known.dataset, known.day, log, chunk_rows, max_bad_rows, known.folder_name)
            description, chosen, user, days = describe(known.dataset), list(known.ids), known.user, periods(log)

        def tell(what: str) -> None:
            if console.is_terminal:
                console.print(what)

        runs: dict[int, list[Day]] = {}
        for number in range(seed, seed + seeds):
            tell(f"Seed {number}")
            # The first seed's folder has the name that a run of one seed gives it, so that others can be added to it.
            of_seed = folder / ("variants" if number == seed else f"variants-seed-{number}")
            its = dataclasses.replace(settings, seed=number)
            variants = DailyVariants(of_seed, days, description, chosen, user, its, tell, max_bad_rows)
            trainers = {"growing": variants.train_daily("growing")}
            if number == seed:
                console.print(_days_table(name, trainers["growing"].ledger, chosen))
            trainers |= {how: variants.train_daily(how) for how in IDS if how != "growing"}
            runs[number] = variants.days(trainers)
            if number == seed:
                ledger, drift = trainers["growing"].ledger, variants.drift(trainers["growing"])
        report = DailyReport(name, runs, ledger, drift, description, user, settings)
        console.print(report.to_table())
        console.print(report.gains_to_markdown())
        console.print(f"Report: {daily_page(report).write(folder / 'report.html')}", soft_wrap=True)


def _days_table(name: str, entries: list[dict[str, Any]], ids: list[str]) -> Table:
    table = Table(title=f"Growing ids on {name}, before training on the day")
    for head in ("day", "rows", "task", "NE", "calibration", "new ids", "handed on", "unknown", "seconds"):
        table.add_column(head, justify="left" if head in ("day", "task") else "right")
    for entry in entries:
        table.add_row(*_cells(entry, ids))
    return table


def _cells(entry: dict[str, Any], ids: list[str]) -> list[str]:
    figures = entry["progressive"] or {}

    def joined(figure: str, form: str) -> str:
        found = [metrics[figure] for metrics in figures.values()]
        return "\n".join("–" if value is None else format(value, form) for value in found) or "–"

    grown = [entry["growth"][name] for name in ids]
    unknown = max(entry["unknown"].get(name, 0.0) for name in ids)
    return [
        entry["period"],
        f"{entry['rows']:,}",
        "\n".join(figures) or "–",
        joined("normalized_entropy", ".5f"),
        joined("calibration", ".3f"),
        f"{sum(one['new'] for one in grown):,}",
        f"{sum(one['handed_on'] for one in grown):,}",
        f"{100 * unknown:.1f} %",
        f"{training_seconds(entry):.1f}",
    ]


if __name__ == "__main__":
    run_command(main)
