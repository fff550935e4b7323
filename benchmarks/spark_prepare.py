"""Seconds of CPU that preparing Criteo's layout costs on Spark, by process, on one core and on two.

`python -m grouprank.benchmarks.spark_prepare`
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..datasets import CriteoDAC, prepare
from ..recipes.command import run_command
from .loading.criteo_text import write_criteo_text
from .support.child_processes import child_processes

_TICK = os.sysconf("SC_CLK_TCK")


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the smaller text.")] = 200_000,
    larger: Annotated[int, typer.Option(min=2, help="How many times as long the larger text is.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 2,
    folder: Annotated[Path, typer.Option(help="Where texts and tables live.")] = Path(".benchmarks"),
    case: Annotated[str, typer.Option(help="Engine and cores; what the command calls itself with.")] = "",
) -> None:
    """Prepare texts of two sizes with threads and on Spark; each case in a process of its own, in turns."""
    place = folder.absolute() / "spark"
    texts = {size: place / str(size) for size in (rows, rows * larger)}
    if case:
        typer.echo(json.dumps(_measure(case, texts, place)))
        return
    for size, text in texts.items():
        write_criteo_text(text / "train.txt", size, None)
    for _ in range(repeats):
        for one in ("local-1", "spark-1", "spark-2", "local-2"):
            options = ["--rows", str(rows), "--larger", str(larger), "--folder", str(folder), "--case", one]
            command = [sys.executable, "-m", "grouprank.benchmarks.spark_prepare", *options]
            # Each task and each thread works alone; polars would start a thread for each core in each of them.
            environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
            answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            typer.echo(f"{one}: {answer.stdout.strip().splitlines()[-1]}")


def _measure(case: str, texts: dict[int, Path], place: Path) -> dict[str, dict[str, float]]:
    engine, cores = case.split("-")
    if engine == "spark":
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false").getOrCreate()
    found = {}
    for size in (min(texts), *texts):  # the first time, in which all starts and warms up, is left out of what is read
        text = texts[size]
        out = place / f"out-{case}"
        shutil.rmtree(out, ignore_errors=True)
        before, start = _processor_seconds(), time.perf_counter()
        prepare(CriteoDAC(text), out, workers=int(cores) if engine == "local" else 4, engine=engine)
        after = _processor_seconds()
        found[str(size)] = {
            "wall": round(time.perf_counter() - start, 2),
            **{kind: round(after[kind] - before.get(kind, 0.0), 2) for kind in after},
        }
        shutil.rmtree(out)
    return found


def _processor_seconds() -> dict[str, float]:
    """Seconds of this process (the driver), of Java, and of the Python processes that it started."""
    total = {"driver": time.process_time()}
    for number, kind in child_processes().items():
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        total[kind] = total.get(kind, 0.0) + sum(map(int, fields[11:15])) / _TICK
    return total


if __name__ == "__main__":
    run_command(main)
