"""Daily training that is killed at random moments.

The ledger, the weights and the published versions must be those of a run that was not killed.

`python -m grouprank.benchmarks.killed_runs`
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import keras
import numpy as np
import polars as pl
import typer

from .. import incremental
from ..datasets import TableDescription
from ..models import CTRModel, ResidualLearning
from ..reports import GateRule
from .run_contents import different, run_contents

DESCRIPTION = TableDescription.from_dict(
    {
        "features": [
            {"name": "user", "kind": "categorical", "side": "user"},
            {"name": "ad", "kind": "growing", "side": "ad", "capacity": 22, "eviction": "lfu", "half_life": 1},
        ],
        "tasks": ["click"],
    }
)
# Events of Python that stand for what changes or opens a file.
_FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")


def main(
    kills: Annotated[int, typer.Option(min=1, help="How often a process is killed.")] = 20,
    days: Annotated[int, typer.Option(min=2, help="Days of the log.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the moments.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where logs and runs live.")] = Path(".benchmarks/killed_runs"),
) -> None:
    """Train a log in processes that are killed at random moments, and compare with a run that was not killed.

    A process counts the files that it opens, moves, makes and removes in its run. Half of the processes kill themselves
    before a random one of them, the others up to some seconds after it, when they may be computing or waiting for the
    process that writes a SavedModel. The next process goes on. When a run has ended before all kills were made, another
    one begins.
    """
    shutil.rmtree(folder, ignore_errors=True)
    # Loaded before the processes fork, as TensorFlow takes long; neither its threads nor those of polars may have
    # started by then. So the runs are compared when the last process has ended.
    keras.utils.set_random_seed(0)
    _forked(lambda: _write_log(folder / "log", days))
    _forked(lambda: _train(folder / "whole", folder / "log", None))
    operations = int((folder / "operations").read_text(encoding="utf-8"))
    typer.echo(f"a run that is not killed: {operations} file operations in {days} days")
    generator = np.random.default_rng(seed)
    runs: list[list[Moment]] = []
    while sum(map(len, runs)) < kills:
        runs.append([])
        killed = True
        while killed:
            moment = _moment(generator, 3 * operations // (2 * days)) if sum(map(len, runs)) < kills else None
            run = folder / f"killed-{len(runs)}"
            killed = _forked(partial(_train, run, folder / "log", moment))
            if killed and moment is not None:
                runs[-1].append(moment)
    rows = {name: np.array([f"{name[0]}{i}" for i in range(50)], object) for name in ("user", "ad")}
    whole, failed = run_contents(folder / "whole", rows), False
    for number, moments in enumerate(runs, start=1):
        differ = different(whole, run_contents(folder / f"killed-{number}", rows))
        failed |= bool(differ)
        said = f"differs in {', '.join(differ)}" if differ else "all files are those of the other"
        typer.echo(f"run {number}, killed {len(moments)} times ({', '.join(map(str, moments))}): {said}")
    made = sum(map(len, runs))
    typer.echo(f"{made} kills in {len(runs)} runs: {'FAILED' if failed else 'all runs end alike'}")
    if failed:
        raise typer.Exit(1)


class Moment(NamedTuple):
    """When a process kills itself.

    Args:
        operation: before which of its file operations, counted from 1.
        seconds: how long after that.
    """

    operation: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.operation} + {self.seconds:.1f} s" if self.seconds else str(self.operation)


def _moment(generator: np.random.Generator, operations: int) -> Moment:
    seconds = generator.uniform(0, 8) if generator.random() < 0.5 else 0.0
    return Moment(int(generator.integers(1, operations)), float(seconds))


def _forked(work: Callable[[], None]) -> bool:
    """Do work in a process of its own; whether it was killed.

    Raises:
        RuntimeError: if it failed.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                work()
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"A process ended with {code}; what it said stands above.")
    return code != 0


def _write_log(folder: Path, days: int) -> None:
    folder.mkdir(parents=True)
    for day in range(days):
        generator = np.random.default_rng(day)
        user, ad = generator.integers(0, 40, 300), generator.integers(0, 20, 300) + day
        click = generator.random(300) < np.where(user % 2, 0.6, 0.2)
        columns = {"user": [f"u{i}" for i in user], "ad": [f"a{i}" for i in ad], "click": click.astype("float32")}
        pl.DataFrame(columns).write_parquet(folder / f"2024-01-{day + 1:02d}.parquet")


def _train(folder: Path, log: Path, moment: Moment | None) -> None:
    """Train all days that are left, until this process kills itself."""
    place, done = str(folder.absolute()), 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        path = arguments[0] if event in _FILE_EVENTS and arguments else None
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(place):
            done += 1
            if moment is not None and done == moment.operation:
                if not moment.seconds:
                    _kill()
                timer = threading.Timer(moment.seconds, _kill)
                timer.daemon = True
                timer.start()

    days = incremental.periods(log)
    transforms = incremental.fit_transforms(DESCRIPTION, days[:1])
    keras.utils.set_random_seed(0)
    model = CTRModel(
        transforms.schema,
        "mlp",
        embedding_dim=4,
        tower_units=(4,),
        dropout=0.1,
        group_structure=("user",),
        embedding_optimizer="adagrad",
        calibration=True,
        residual_learning=ResidualLearning(teacher="yesterday", units=(4,)),
    )
    model.compile(keras.optimizers.Adam(0.01))
    sys.addaudithook(count)
    incremental.IncrementalTrainer(
        model,
        transforms,
        DESCRIPTION,
        folder / "run",
        export=folder / "versions",
        batch_size=64,
        held_out=0.2,
        gate=[GateRule(max_loss=50.0)],
        replay=0.1,
        negative_rate=0.8,
        keep=2,
    ).run(days)
    if moment is None and not (log.parent / "operations").exists():
        (log.parent / "operations").write_text(str(done), encoding="utf-8")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    typer.run(main)
