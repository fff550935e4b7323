"""A training step over tables that are dealt over 1, 2, 4 and 8 devices.

`python -m grouprank.benchmarks.sharding`
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..recipes.command import run_command
from .dcn.workload import Workload
from .sharded.sharding_report import sharding_report
from .support import Contender, run_rounds

DEVICES = (1, 2, 4, 8)
TABLES = ("ours", "gspmd")


def main(
    rows: Annotated[float, typer.Option(help="Rows of all tables together.")] = 8e6,
    batch_size: Annotated[int, typer.Option(min=8, help="Rows of a batch for each device.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 5,
    folder: Annotated[Path, typer.Option(help="Where logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Train one DCNv2 on virtual devices, with a batch that grows with their number."""
    work = Workload(rows=int(rows), batch_size=batch_size, batches=8)
    contenders = [_contender(work, devices, table) for table in TABLES for devices in DEVICES]
    found = run_rounds(contenders, repeats, steps, warmup=3, folder=folder)
    settings = {"rows": work.rows, "batch_size": batch_size, "repeats": repeats, "steps": steps}
    page = sharding_report(found, DEVICES, work, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contender(work: Workload, devices: int, table: str) -> Contender:
    """One table over a number of devices; the batch of all devices grows with their number."""
    shared = dataclasses.replace(work, batch_size=work.batch_size * devices)
    return Contender(
        f"{table}, {devices}",
        "grouprank.benchmarks.sharded.jax_network:prepare",
        {"work": dataclasses.asdict(shared), "devices": devices, "table": table},
        variables={
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "PJRT_NPROC": "16",
        },
        packages=("keras", "jax"),
        memory_bytes=3 * work.table_bytes + 2**30,
    )


if __name__ == "__main__":
    run_command(main)
