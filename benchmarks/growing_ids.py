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
    "two sightings": {"min_count": 2},
}
TARGET = 1.05

QUESTION = """Does memory stay flat over a log that never ends?

A column of strings with room for {tokens:,} growing ids takes in {periods} periods. Each brings {tokens:,} tokens that
no earlier one had. "lfu" hands all ids on in every period; "two sightings" admits nothing and remembers as many tokens
as there is room for. Each runs in a process of its own with one thread in polars. How fast it is, `loader` measures."""


def main(
    tokens: Annotated[int, typer.Option(min=1, help="Capacity, and new tokens of a period.")] = 1_000_000,
    periods: Annotated[int, typer.Option(min=2, help="Periods of the log.")] = 60,
    first: Annotated[int, typer.Option(min=1, help="Periods whose peak memory the later ones may not exceed.")] = 10,
    folder: Annotated[Path, typer.Option(help="Where logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Extend growing ids period by period; measures peak memory."""
    settings = {"tokens": tokens, "periods": periods, "first": first}
    found = run_rounds(_contenders(settings), 1, periods - first, warmup=0, memory_bytes=0, folder=folder)
    page = _report(found, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contenders(settings: Mapping[str, int]) -> list[Contender]:
    return [
        Contender(
            rule,
            "grouprank.benchmarks.loading.endless_log:prepare",
            {"tokens": settings["tokens"], "first": settings["first"], "options": options},
            variables={"KERAS_BACKEND": "jax", "POLARS_MAX_THREADS": "1"},
            packages=("polars",),
        )
        for rule, options in RULES.items()
    ]


def _report(found: Mapping[str, Measurement], settings: Mapping[str, int]) -> Report:
    rows = []
    for rule, one in found.items():
        if not (one.ok and one.setup_peak_bytes):
            rows.append((rule, "–", "–", "–", "not measured"))
            continue
        growth = one.step_peak_bytes / one.setup_peak_bytes
        rows.append(
            (
                rule,
                f"{one.setup_peak_bytes / 1e9:.2f}",
                f"{one.step_peak_bytes / 1e9:.2f}",
                f"{growth:.2f}",
                "yes" if growth <= TARGET else "**no**",
            )
        )
    first, last = settings["first"], settings["periods"]
    columns = [
        "rule",
        f"peak GB, periods 1 to {first}",
        f"peak GB, periods {first + 1} to {last}",
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
