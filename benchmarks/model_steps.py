"""What a training step of each preset takes.

`python -m grouprank.benchmarks.model_steps`
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models import presets
from ..recipes.command import run_command
from .dcn.contenders import BACKENDS, select
from .dcn.workload import Workload
from .support import Contender, Measurement, Report, Table, bar_figure, run_rounds, time_ratio

BASE = "mlp"
QUESTION = """What does a training step of each preset take?

{fields} fields of width {dim}, a third of them on each side (user, ad, context), two tasks (a click, and a purchase
given the click), batches of {batch} rows, {rows:,} embedding rows in a fused table, plain `model.fit` without metrics,
every preset with its defaults. `× mlp` is the time over that of the `mlp` preset in the same round."""


def main(
    backends: Annotated[str, typer.Option(help="Backends, comma separated.")] = "tensorflow,jax,torch",
    rows: Annotated[int, typer.Option(min=1000, help="Embedding rows of all fields together.")] = 1_000_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 3,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before the first timed one.")] = 2,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Time a step of every preset on every backend."""
    work = Workload(rows=rows, batch_size=batch_size, batches=8)
    names = [name for name in presets("CTRModel", "CVRModel") if not name.startswith("table1_")]
    found: dict[str, Measurement] = {}
    for backend in backends.split(","):
        contenders = [
            Contender(
                _name(name, BACKENDS[backend]),
                "grouprank.benchmarks.zoo.preset_step:prepare",
                {"work": dataclasses.asdict(work), "preset": name},
                variables={"KERAS_BACKEND": backend},
                packages=("keras", backend, "numpy"),
                memory_bytes=1_500_000_000,
            )
            for name in names
        ]
        found |= run_rounds(select(contenders, only), repeats, steps, warmup, folder=folder)
    settings = {**dataclasses.asdict(work), "repeats": repeats, "steps": steps}
    page = _report(work, names, found, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _name(preset: str, title: str) -> str:
    return f"{preset}, {title}"


def _report(work: Workload, names: list[str], found: Mapping[str, Measurement], settings: Mapping[str, Any]) -> Report:
    rows, values, kinds = [], {}, {}
    for name in names:
        cells = [name, "–"]
        for title in BACKENDS.values():
            one, base = found.get(_name(name, title)), found.get(_name(BASE, title))
            if one is None or not one.ok:
                cells += ["–", "–"]
                continue
            cells[1] = f"{one.facts['parameters beside embeddings']:,}"
            ratio = time_ratio(one, base) if base is not None else None
            cells += [f"{1e3 * one.seconds:.0f}", "–" if ratio is None else f"{ratio.median:.2f}"]
            values[_name(name, title)], kinds[_name(name, title)] = 1e3 * one.seconds, title
        rows.append(tuple(cells))
    columns = ["preset", "parameters beside embeddings"]
    for title in BACKENDS.values():
        columns += [f"{title}, ms", f"× {BASE}"]
    return Report(
        name="model_steps",
        title="Steps of the presets",
        question=QUESTION.format(fields=work.fields, dim=work.embedding_dim, batch=work.batch_size, rows=work.rows),
        tables=[Table(columns, rows, "Time")],
        measurements=found,
        settings=settings,
        figure=bar_figure(values, "ms per step", kinds) if values else None,
        alt="Bars of milliseconds per step by preset and backend.",
    )


if __name__ == "__main__":
    run_command(main)
