"""Memory of growing ids over a log that never ends.

`python -m grouprank.benchmarks.growing_ids`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipes.command import run_command
from .support import Contender, Measurement, Report, Table, run_rounds

# How new tokens get a place, or do not.
RULES: dict[str, dict[str, Any]] = {
    "lfu": {"eviction": "lfu", "half_life": 1},
    "ttl": {"eviction": "ttl", "ttl": 1},
    "none, two sightings": {"min_count": 2},
}
TARGET = 1.05

QUESTION = """Does memory stay flat over a log that never ends?

A column of strings with room for {tokens:,} growing ids takes in {periods} periods. Each brings {tokens:,} tokens that
no earlier one had. "lfu" and "ttl" hand all ids on in every period; "none, two sightings" admits nothing and remembers
as many tokens as there is room for. Every rule runs in a process of its own with one thread in polars, once for {few}
periods and once for all {periods}."""


def main(
    tokens: Annotated[int, typer.Option(min=1, help="Capacity, and new tokens of a period.")] = 1_000_000,
    periods: Annotated[int, typer.Option(min=2, help="Periods of the longer log.")] = 60,
    few: Annotated[int, typer.Option(min=1, help="Periods of the shorter log.")] = 10,
    folder: Annotated[Path, typer.Option(help="Where logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Extend growing ids period by period; measures peak memory and seconds."""
    found: dict[str, Measurement] = {}
    for count in (few, periods):
        turns = run_rounds(_contenders(tokens), 1, count, warmup=0, memory_bytes=0, folder=folder)
        found |= {_name(rule, count): turns[rule] for rule in RULES}
    page = _report(found, {"tokens": tokens, "periods": periods, "few": few}).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contenders(tokens: int) -> list[Contender]:
    return [
        Contender(
            rule,
            "grouprank.benchmarks.loading.endless_log:prepare",
            {"tokens": tokens, "options": options},
            variables={"KERAS_BACKEND": "jax", "POLARS_MAX_THREADS": "1"},
            packages=("polars",),
        )
        for rule, options in RULES.items()
    ]


def _name(rule: str, periods: int) -> str:
    return f"{rule}, {periods} periods"


def _report(found: Mapping[str, Measurement], settings: Mapping[str, Any]) -> Report:
    rows = []
    for rule in RULES:
        few, all_periods = (found[_name(rule, settings[count])] for count in ("few", "periods"))
        if not (few.ok and all_periods.ok and few.peak_bytes):
            rows.append((rule, "–", "–", "–", "–", "not measured"))
            continue
        growth = all_periods.peak_bytes / few.peak_bytes
        rows.append(
            (
                rule,
                f"{settings['tokens'] / all_periods.seconds:,.0f}",
                f"{few.peak_bytes / 1e9:.2f}",
                f"{all_periods.peak_bytes / 1e9:.2f}",
                f"{growth:.2f}",
                "yes" if growth <= TARGET else "**no**",
            )
        )
    columns = [
        "rule",
        "tokens/s",
        f"peak GB, {settings['few']} periods",
        f"peak GB, {settings['periods']} periods",
        f"ratio (target ≤ {TARGET})",
        "reached",
    ]
    return Report(
        name="growing_ids",
        title="Growing ids over an endless log",
        question=QUESTION.format(**settings),
        tables=[Table(columns, rows)],
        measurements=found,
        settings=settings,
        notes=["Peak memory is the resident set of the process, libraries included (about 0.3 GB)."],
    )


if __name__ == "__main__":
    run_command(main)
