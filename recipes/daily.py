"""A log that goes on day by day: what daily training and growing ids are worth on it.

`python -m grouprank.recipes.daily --synthetic`, `--data DIR` (KuaiRand-Pure) or `--schema my.yaml --data FOLDER`

Trains the same model in five ways, each scored on every day before it is trained on it: left to age after the first
days, daily with frozen vocabularies, daily with growing ids, daily with hashed ids, and from scratch every day on all
days before. Writes one page with NE by day, the gains with their intervals, and the ids by day.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import keras
import typer
from rich.table import Table

from ..datasets import Dataset, GrowingColumn, KuaiRandPure, SyntheticAds, TableDescription
from ..datasets.prepare import CHUNK_ROWS
from ..files import RunFolder, run_lock
from ..incremental import periods
from ..reports.terminal import Terminal
from .command import BadRows, ChunkRows, Run, Seed, run_command
from .daily_log import IDS, describe, write_daily_log
from .daily_report import DailyReport
from .daily_variants import DailySettings, DailyVariants, training_seconds

SETTINGS = DailySettings()
# The days' column and the ids of the logs that the recipe knows.
_SYNTHETIC = ("day", ("user_id", "ad_id"))
_KUAIRAND = ("date", ("user_id", "video_id", "author_id", "music_id"))


def main(
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The generated log of ads.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="KuaiRand-Pure's official files; with --schema a log of your own.")
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
    max_bad_rows: BadRows = 0,
    chunk_rows: ChunkRows = CHUNK_ROWS,
) -> None:
    """Compare daily training with growing ids to other ways to meet a log that goes on."""
    if synthetic == (data is not None) or (schema is not None and data is None):
        raise ValueError("Pass --synthetic, --data DIR (KuaiRand-Pure), or --schema my.yaml --data FOLDER.")
    name = "synthetic" if synthetic else "kuairand" if schema is None else data.name.split(".")[0] if data else ""
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
        else:
            dataset: Dataset = SyntheticAds(rows, seed, 4000, 400) if data is None else KuaiRandPure(data)
            day, known = _SYNTHETIC if data is None else _KUAIRAND
            write_daily_log(dataset, day, log, chunk_rows, max_bad_rows)
            description, chosen, user, days = describe(dataset), list(known), "user", periods(log)

        def tell(what: str) -> None:
            if console.is_terminal:
                console.print(what)

        variants = DailyVariants(folder / "variants", days, description, chosen, user, settings, tell, max_bad_rows)
        table = Table(title=f"Growing ids on {name}, before training on the day")
        for head in ("day", "rows", "task", "NE", "calibration", "new ids", "handed on", "unknown", "seconds"):
            table.add_column(head, justify="left" if head in ("day", "task") else "right")

        def add(entry: dict[str, Any]) -> None:
            table.add_row(*_cells(entry, chosen))

        trainers = {"growing": variants.train_daily("growing", add)}
        console.print(table)
        trainers |= {how: variants.train_daily(how, lambda entry: None) for how in IDS if how != "growing"}
        report = DailyReport(name, variants.days(trainers), trainers["growing"].ledger, description, user, settings)
        console.print(report.to_table())
        console.print(report.gains_to_markdown())
        console.print(f"Report: {report.to_page().write(folder / 'report.html')}", soft_wrap=True)


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
