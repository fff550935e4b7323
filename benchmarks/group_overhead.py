"""What group structure and residual learning add to a training step.

`python -m grouprank.benchmarks.group_overhead`
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipes.command import run_command
from .dcn.contenders import BACKENDS, select
from .dcn.workload import Workload
from .support import Contender, Measurement, Ratio, Report, Table, bar_figure, run_rounds, time_ratio

PLACEMENTS = ["user", "user_ad", "representation"]
# Placements, residual learning, code widths (empty: the model's), hidden layers of a residual head.
VARIANTS: dict[str, tuple[list[str], bool, list[int], list[int]]] = {
    "baseline": ([], False, [], [32]),
    "groups of users": (["user"], False, [], [32]),
    "groups of user-ad pairs": (["user_ad"], False, [], [32]),
    "groups of representations": (["representation"], False, [], [32]),
    "groups at all three": (PLACEMENTS, False, [], [32]),
    "residual learning": ([], True, [], [32]),
    "groups and residual learning": (PLACEMENTS, True, [], [32]),
    "both, lean": (PLACEMENTS, True, [8, 8, 16], []),
}
BASELINE, BOTH = "baseline", "groups and residual learning"
TARGET = 0.10

QUESTION = """What do group structure learning and residual learning add to a training step?

`CTRModel` with DCNv2 (three full-rank crosses beside dense layers 256 and 128), {fields} fields of width {dim}, a
third of them on each side (user, ad, context), four tasks with towers of 64, batches of {batch} rows, {rows:,}
embedding rows, Adam for everything, plain `model.fit` without metrics. The baseline has `group_structure=()` and
`residual_learning=False`. Groups are {levels} codebooks of {codes} codes with the model's defaults: codes of width 16
for users and for user-ad pairs, which become two more fields of the backbone, and of width 32 beside its output.
Residual learning has two heads per task with a hidden layer of 32. "Lean" is both, with codes of half the width and
heads without a hidden layer (`ResidualLearning(units=())`)."""

REMARK = """The products column is arithmetic, not a measurement: the multiply-adds of the step's dense layers and
searches over the baseline's. The cost of the paper's structure lies there: two more fields make every full-rank cross
wider, and the eight heads of 32 units, one product in the code, have as many multiply-adds as the four towers. No
implementation of the same mathematics can be cheaper. The rest of what is measured is passes over memory and overhead
of the framework."""


def main(
    backends: Annotated[str, typer.Option(help="Backends, comma separated.")] = "tensorflow,jax,torch",
    rows: Annotated[int, typer.Option(min=1000, help="Embedding rows of all fields together.")] = 100_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; many short ones, since the differences are small.")] = 15,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 3,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before the first timed one.")] = 4,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Time a step with and without groups and residual learning on every backend."""
    work = Workload(rows=rows, batch_size=batch_size, batches=8)
    found: dict[str, Measurement] = {}
    # Ratios are taken within a backend; the processes of one fit into memory together.
    for backend in backends.split(","):
        found |= run_rounds(select(_contenders(backend, work), only), repeats, steps, warmup, folder=folder)
    settings = {**dataclasses.asdict(work), "repeats": repeats, "steps": steps}
    page = _report(work, found, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contenders(backend: str, work: Workload) -> list[Contender]:
    return [
        Contender(
            _name(variant, BACKENDS[backend]),
            "grouprank.benchmarks.groups.ctr_step:prepare",
            {
                "work": dataclasses.asdict(work),
                "placements": placements,
                "residual": residual,
                "code_dims": widths,
                "head_units": units,
            },
            variables={"KERAS_BACKEND": backend},
            packages=("keras", backend, "numpy"),
            memory_bytes=1_200_000_000,
        )
        for variant, (placements, residual, widths, units) in VARIANTS.items()
    ]


def _name(variant: str, title: str) -> str:
    return f"{variant}, {title}"


def _report(work: Workload, found: Mapping[str, Measurement], settings: Mapping[str, Any]) -> Report:
    tables, values, kinds, targets = [], {}, {}, []
    for title in BACKENDS.values():
        base = found.get(_name(BASELINE, title))
        rows = []
        for variant in VARIANTS:
            one = found.get(_name(variant, title))
            ratio = time_ratio(one, base) if one is not None and base is not None else None
            floor = _products(one, base)
            milliseconds = f"{1e3 * one.seconds:.0f}" if one is not None and one.ok else "–"
            over = "–" if variant == BASELINE else _percent(ratio)
            rows.append((variant, milliseconds, over, "–" if floor is None else f"{100 * floor:.1f}"))
            if ratio is not None and variant != BASELINE:
                values[_name(variant, title)] = 100 * (ratio.median - 1)
                kinds[_name(variant, title)] = title
            if variant == BOTH and one is not None:
                reached = "not measured" if ratio is None else "yes" if ratio.median <= 1 + TARGET else "**no**"
                targets.append((title, f"≤ {100 * TARGET:.0f}", _percent(ratio), rows[-1][-1], reached))
        if base is not None:
            columns = ["step", "ms", "% over baseline", "products, % over baseline"]
            tables.append(Table(columns, rows, title))
    columns = [BOTH, "target, %", "measured, %", "products, %", "reached"]
    return Report(
        name="group_overhead",
        title="Overhead of groups and residual learning",
        question=QUESTION.format(
            fields=work.fields, dim=work.embedding_dim, batch=work.batch_size, rows=work.rows, levels=3, codes=16
        ),
        tables=[*tables, Table(columns, targets, "Target", REMARK)],
        measurements=found,
        settings=settings,
        figure=bar_figure(values, "% over the baseline's step", kinds, digits=1) if values else None,
        alt="Bars of the percentage that each variant adds to the baseline's step, by backend.",
    )


def _percent(ratio: Ratio | None) -> str:
    if ratio is None:
        return "–"
    median, low, high = (100 * (value - 1) for value in (ratio.median, ratio.low, ratio.high))
    return f"{median:.1f} ({low:.1f} to {high:.1f})"


def _products(one: Measurement | None, base: Measurement | None) -> float | None:
    if one is None or base is None or not (one.ok and base.ok):
        return None
    key = "multiply-adds per row"
    return one.facts[key] / base.facts[key] - 1.0


if __name__ == "__main__":
    run_command(main)
