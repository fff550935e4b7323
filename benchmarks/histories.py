"""Rows per second of making histories, beside a loop in plain Python.

`python -m grouprank.benchmarks.histories [--data KUAIRAND_PURE]`
"""

import collections
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer

from ..datasets import HistoryState, KuaiRandPure
from ..recipes.command import run_command

_ACTIONS = ("buy", "click")


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the generated log.")] = 600_000,
    users: Annotated[int, typer.Option(min=1, help="Its users.")] = 5000,
    length: Annotated[int, typer.Option(min=1, help="Largest number of items that a row sees.")] = 50,
    chunk_rows: Annotated[int, typer.Option(min=1, help="Rows at a time.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in which both take turns.")] = 3,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with KuaiRand-Pure, to measure it too.")] = None,
) -> None:
    """Print the rows that a second of wall clock and of CPU time makes, and the ratio to plain Python."""
    _compare("generated log", list(_generated(rows, users).iter_slices(chunk_rows)), length, rounds)
    if data is not None:
        named = {"item": "video_id", "time": "time_ms", "click": "is_click", "buy": "long_view"}
        frames = [frame.select("user", **named) for frame in KuaiRandPure(data, by_time=True).chunks(chunk_rows)]
        _compare("KuaiRand-Pure", frames, length, rounds)


def _generated(rows: int, users: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user": rng.integers(0, users, rows),
            "item": rng.integers(0, 8000, rows),
            "time": np.sort(rng.integers(1_650_000_000, 1_651_000_000, rows)),
            "click": (rng.random(rows) < 0.5).astype("float32"),
            "buy": (rng.random(rows) < 0.1).astype("float32"),
        }
    )


def _compare(name: str, frames: list[pl.DataFrame], length: int, rounds: int) -> None:
    rows, items = sum(map(len, frames)), 0
    found: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        state = HistoryState("user", "item", "time", _ACTIONS, length)
        wall, cpu = time.perf_counter(), time.process_time()
        last = [state.update(frame) for frame in frames]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        items = sum(int(frame["history"].str.split(",").list.len().sum()) for frame in last)
        plain = time.process_time()
        collections.deque(_plain(frames[0], length), maxlen=0)
        found.append((rows / wall, rows / cpu, (time.process_time() - plain) / len(frames[0]) / (cpu / rows)))
    walls, cpus, ratios = (sorted(values) for values in zip(*found, strict=True))
    middle = rounds // 2
    print(
        f"{name}: {rows:,} rows, {items / rows:.1f} items a row: {walls[middle]:,.0f} rows/s, {cpus[middle]:,.0f} rows "
        f"a second of CPU; plain Python takes {ratios[middle]:.1f} times ({ratios[0]:.1f} to {ratios[-1]:.1f}) as long"
    )


def _plain(frame: pl.DataFrame, length: int) -> Iterator[tuple[str, str, str]]:
    """The same without ties and repeated rows, one row after the other, for the first chunk, whose lists are short."""
    seen: dict[object, collections.deque[tuple[int, str, str]]] = {}
    for user, item, when, click, buy in frame.select("user", "item", "time", "click", "buy").iter_rows():
        events = seen.setdefault(user, collections.deque(maxlen=length))
        ages = (f"{int(math.log2(max(when - then, 1))):02d}" for then, _, _ in events)
        yield ",".join(e[1] for e in events), ",".join(e[2] for e in events), ",".join(ages)
        if buy or click:
            events.append((when, str(item), "buy" if buy else "click"))


if __name__ == "__main__":
    run_command(main)
