"""Daily training that is killed at random moments.

The ledger, the weights and the published versions must be those of a run that was not killed.

`python -m grouprank.benchmarks.killed_runs`
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
import polars as pl
import typer

from .. import incremental
from ..datasets import TableDescription, TableTransforms
from ..files import whole_folder
from ..models import CTRModel, ResidualLearning
from ..reports import GateRule

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
    """Train a log in processes that are killed at random file operations, and compare with a run that was not killed.

    A process counts the files that it opens, moves, makes and removes in its run, and kills itself before a random one
    of them. The next one goes on. When a run has ended before all kills were made, another one begins.
    """
    shutil.rmtree(folder, ignore_errors=True)
    # Loaded before the processes fork, as TensorFlow takes long; polars' threads must not have started by then.
    keras.utils.set_random_seed(0)
    from .. import serving

    serving.export = _write_version  # type: ignore[assignment]
    _forked(lambda: _write_log(folder / "log", days))
    _forked(lambda: _train(folder / "whole", folder / "log", None))
    operations = int((folder / "whole" / "operations").read_text(encoding="utf-8"))
    typer.echo(f"a run that is not killed: {operations} file operations in {days} days")
    generator = np.random.default_rng(seed)
    made, runs, failed = 0, 0, False
    while made < kills:
        runs += 1
        run = folder / f"killed-{runs}"
        moments: list[int] = []
        killed = True
        while killed:
            # About every second process comes to the end of a day.
            moment = int(generator.integers(1, 2 * operations // days)) if made < kills else None
            killed = _forked(lambda run=run, moment=moment: _train(run, folder / "log", moment))  # type: ignore[misc]
            if killed and moment is not None:
                made += 1
                moments.append(moment)
        differ = compare(folder / "whole", run)
        failed |= bool(differ)
        said = f"differs in {', '.join(differ)}" if differ else "ledger, weights and versions are those of the other"
        typer.echo(f"run {runs}, killed {len(moments)} times before file operations {moments}: {said}")
    typer.echo(f"{made} kills in {runs} runs: {'FAILED' if failed else 'all runs end alike'}")
    if failed:
        raise typer.Exit(1)


def compare(whole: Path, killed: Path) -> list[str]:
    """What differs between two runs: names of files.

    Args:
        whole: the folder of a run that was not killed.
        killed: that of one that was.
    """
    expected, found = _contents(whole), _contents(killed)
    return sorted(
        name
        for name in {*expected, *found}
        if name not in expected or name not in found or expected[name] != found[name]
    )


def _contents(folder: Path) -> dict[str, Any]:
    """All files, without what tells the time."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".keras":
            found[name] = _weights(path)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        elif path.suffix == ".json":
            values = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in values.items() if key != "seconds"}
        elif name not in ("operations", "run/lock"):
            found[name] = path.read_bytes()
    return found


def _weights(path: Path) -> dict[str, bytes]:
    """The arrays of a saved model, optimizer included; the same arrays may lie at other places of a file."""
    found: dict[str, bytes] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item).tobytes()

    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(add)
    return found


def _write_version(model: Any, path: Path, transforms: TableTransforms, provenance: dict[str, Any]) -> None:
    """Stands in for `serving.export`, which takes ten times as long as a day's training here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(path) as work:
        arrays = [keras.ops.convert_to_numpy(variable) for variable in model.weights]
        np.savez(work / "weights.npz", *arrays)
        transforms.save(work / "transforms")
        (work / "assets.extra").mkdir()
        (work / "assets.extra" / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")


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


def _train(folder: Path, log: Path, kill_before: int | None) -> None:
    """Train all days that are left, until this process kills itself before a file operation."""
    place, done = str(folder.absolute()), 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        path = arguments[0] if event in _FILE_EVENTS and arguments else None
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(place):
            done += 1
            if done == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)

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
    ).run(days)
    if kill_before is None and not (folder / "operations").exists():
        (folder / "operations").write_text(str(done), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
