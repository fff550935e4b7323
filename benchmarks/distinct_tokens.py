"""Memory that counting many distinct tokens of one feature takes, by process, on threads and on Spark.

`python -m grouprank.benchmarks.distinct_tokens`
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from ..datasets import CategoricalColumn
from ..datasets.dataset import Dataset
from ..datasets.fit_pass import fitted
from ..datasets.local_engine import LocalEngine
from ..datasets.raw_files.file_slice import part_of
from ..datasets.spark_engine import SparkEngine
from ..recipes.command import run_command
from ..schema import Task
from .support.child_processes import child_processes

_CHUNK_ROWS = 100_000
_FREQUENT = 200_000


class _Tokens(Dataset):
    """Rows that are made as they are read: nine of ten have a token of their own, the others a frequent one."""

    name = "tokens"

    def __init__(self, distinct: int, parts: int) -> None:
        self.columns = (CategoricalColumn("token", "user", min_count=10),)
        self.tasks = (Task("click"),)
        self.extras = {}
        self._chunks = range(-(-distinct // (_CHUNK_ROWS * 9 // 10)) + 2)
        self._parts = parts

    def parts(self, size: int, run: Any) -> "list[_Tokens]":
        """As many runs of chunks as were asked for."""
        bounds = np.linspace(0, len(self._chunks), self._parts + 1).astype(int).tolist()
        return [part_of(self, _chunks=self._chunks[a:b]) for a, b in itertools.pairwise(bounds)]

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0) -> Iterator[pl.DataFrame]:
        """One chunk each for validation and for testing, then the training rows."""
        for number in self._chunks:
            numbers = np.arange(number * _CHUNK_ROWS, (number + 1) * _CHUNK_ROWS, dtype="uint64")
            # A product with an odd number permutes the 40 bits, so tokens are as good as random.
            mixed = numbers * np.uint64(0x9E3779B97F4A7C15) % np.uint64(1 << 40)
            frequent = np.arange(_CHUNK_ROWS) % 10 == 0
            tokens = np.where(frequent, mixed % np.uint64(_FREQUENT), mixed + np.uint64(_FREQUENT))
            split = ("validation", "test")[number] if number < 2 else "train"
            yield pl.DataFrame({"token": tokens}).select(
                pl.format("{}", pl.col("token")).str.zfill(13).alias("token"),
                click=pl.lit(0.0, pl.Float32),
                split=pl.lit(split),
            )

    @classmethod
    def download(cls, folder: Path) -> Path:
        """Rows that are made are not downloaded."""
        raise NotImplementedError("Rows that are made are not downloaded.")


def main(
    distinct: Annotated[int, typer.Option(min=1000, help="Distinct tokens.")] = 30_000_000,
    parts: Annotated[int, typer.Option(min=1, help="Parts on Spark.")] = 8,
    case: Annotated[str, typer.Option(help="Engine and cores, such as spark-2; both engines by default.")] = "",
) -> None:
    """Count the tokens of rows that are nearly all distinct; each case in a process of its own."""
    if case:
        typer.echo(json.dumps(_measure(case, distinct, parts)))
        return
    for one in ("local-1", "spark-2"):
        options = ["--distinct", str(distinct), "--parts", str(parts), "--case", one]
        environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "grouprank.benchmarks.distinct_tokens", *options]
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        typer.echo(f"{one}: {answer.stdout.strip().splitlines()[-1]}")


def _measure(case: str, distinct: int, parts: int) -> dict[str, float]:
    engine, cores = case.split("-")
    if engine == "spark":
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false").getOrCreate()
    found: dict[str, float] = {"start": round(_peaks()["driver"], 2)}
    dataset, start = _Tokens(distinct, parts), time.perf_counter()
    with _watched_peaks() as peaks:
        if engine == "spark":
            sums = SparkEngine(dataset, _CHUNK_ROWS, 0, None, lambda *done: None).fit()
        else:
            sums = LocalEngine(dataset, _CHUNK_ROWS, 0, int(cores), lambda *done: None).fit()
        transforms = fitted(dataset, sums)
    found |= {kind: round(most, 2) for kind, most in peaks.items()}
    found |= {"seconds": round(time.perf_counter() - start, 1), "kept": transforms.vocabulary_sizes["token"] - 1}
    return found


@contextlib.contextmanager
def _watched_peaks() -> Iterator[dict[str, float]]:
    """The most memory, in GB, that one process of each kind has held so far."""
    most: dict[str, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for kind, peak in _peaks().items():
                most[kind] = max(peak, most.get(kind, 0.0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def _peaks() -> dict[str, float]:
    most: dict[str, float] = {}
    for number, kind in {os.getpid(): "driver", **child_processes()}.items():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            status = Path(f"/proc/{number}/status").read_text()
            peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
            if peak:
                most[kind] = max(int(peak.split()[1]) / 1e6, most.get(kind, 0.0))
    return most


if __name__ == "__main__":
    run_command(main)
