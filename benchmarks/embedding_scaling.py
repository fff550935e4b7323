"""Step time and memory against the number of embedding rows.

`python -m grouprank.benchmarks.embedding_scaling`
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..recipes.command import run_command
from .dcn.contenders import BACKENDS, frozen, ours, select, stock
from .dcn.scaling_report import scaling_report
from .dcn.workload import LAWS, Workload
from .support import Contender, Measurement, run_rounds


def main(
    rows: Annotated[str, typer.Option(help="Rows of all tables together, comma separated.")] = "1e4,1e5,1e6,1e7,3e7",
    stock_rows: Annotated[float, typer.Option(help="Largest table for stock Keras, which holds six of them.")] = 1e7,
    optimizer: Annotated[str, typer.Option(help="Optimizer of fused tables.")] = "adagrad",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 10,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before the first timed one.")] = 4,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Train one DCNv2 over tables of growing size, fused, stock and frozen."""
    sizes = sorted({int(float(part)) for part in rows.split(",")})
    every = [
        one
        for backend in BACKENDS
        for law in LAWS
        for kind in ("fused", "frozen", "stock")
        for one in _series(kind, backend, law, sizes, optimizer, batch_size, stock_rows)
    ]
    wanted = {one.name for one in select(every, only)}
    found: dict[str, Measurement] = {}
    for backend in BACKENDS:
        for law in LAWS:
            # The sizes of one series take turns, so that their ratio is taken within rounds.
            for kind in ("fused", "frozen", "stock"):
                series = _series(kind, backend, law, sizes, optimizer, batch_size, stock_rows)
                series = [one for one in series if one.name in wanted]
                if series:
                    found.update(run_rounds(series, repeats, steps, warmup, folder=folder))
    settings = {
        "rows": sizes,
        "stock_rows": int(stock_rows),
        "optimizer": optimizer,
        "batch_size": batch_size,
        "repeats": repeats,
        "steps": steps,
    }
    work = dataclasses.replace(Workload(), batch_size=batch_size)
    page = scaling_report(found, sizes, work, optimizer, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _series(
    kind: str, backend: str, law: str, sizes: list[int], optimizer: str, batch_size: int, stock_rows: float
) -> list[Contender]:
    """Contenders of all sizes; stock Keras walks its whole table under any law, so one law is enough for it."""
    made = []
    for rows in sizes:
        work = Workload(rows=rows, law=law, batch_size=batch_size)
        name = f"{kind}, {BACKENDS[backend]}, {law}, {rows:,} rows"
        if kind == "fused":
            made.append(ours(backend, work, optimizer, name))
        elif kind == "frozen":
            made.append(frozen(backend, work, name))
        elif law == LAWS[0] and rows <= stock_rows:
            made.append(stock(backend, work, "stacked", name))
    return made


if __name__ == "__main__":
    run_command(main)
