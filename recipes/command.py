"""The command line that the recipes share."""

import dataclasses
import functools
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from ..datasets import Dataset
from ..datasets.prepare import CHUNK_ROWS
from ..datasets.prepared_table import REPORT_FILE
from ..distribution import rank, start, use_devices, world_size
from ..distribution.end_process import end_process
from ..distribution.launch import launch
from ..layers.multi_task import MULTI_TASK
from ..layers.sequence import SEQUENCE_ENCODERS
from ..models.backbones import BACKBONES
from ..reports.terminal import Terminal
from .ctr_study import PREPARED, run_ctr_study
from .study_settings import StudySettings

# Set by those who start several processes: our launcher, and torchrun.
_LAUNCHED = {"KERAS_DISTRIBUTION_NUM_PROCESSES", "TORCHELASTIC_RUN_ID"}

# torchrun takes `--run` for the beginning of an option of its own.
Run = Annotated[
    Path | None,
    typer.Option("--run", "--run-folder", help="Default: runs/RECIPE/BACKEND-seed-SEED.", show_default=False),
]
SavedModels = Annotated[Path, typer.Option("--saved-models", help="Where versions are exported, as DIR/RECIPE/N.")]
BadRows = Annotated[int, typer.Option("--max-bad-rows", min=0, help="Malformed rows to skip before giving up.")]
ChunkRows = Annotated[int, typer.Option("--chunk-rows", min=1, help="Raw rows read at a time; fewer take less memory.")]
Groups = Annotated[str, typer.Option("--groups", help="Placements of groups, comma separated; empty for none.")]
Teacher = Annotated[str, typer.Option(help="Pseudo-labels of residual learning: self, out_of_time or column.")]
Backbone = Annotated[str, typer.Option(help=f"Feature interactions: {', '.join(BACKBONES)}.")]
MultiTask = Annotated[str, typer.Option(help=f"Structure above them: {', '.join(MULTI_TASK)}.")]
Histories = Annotated[
    str, typer.Option("--sequence-encoder", help=f"Encoder of sequences: {', '.join(SEQUENCE_ENCODERS)}.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Largest number of passes over the training rows.")]
Patience = Annotated[int, typer.Option(min=1, help="Epochs without a better validation before training stops.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Rows per training step. Default: 32 to 4096, for at least 200 steps per epoch.",
        show_default=False,
    ),
]
Devices = Annotated[
    int, typer.Option(min=1, help="Devices of each process, with KERAS_BACKEND=jax; virtual ones on a CPU.")
]
JaxProcesses = Annotated[int, typer.Option(min=1, help="Processes of JAX to train in; for torch see torchrun.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights and shuffling, the same for both models.")]


def run_public_dataset(
    name: str,
    dataset: Any,
    defaults: StudySettings,
    with_history: Callable[[Path, int, Path | None], Dataset] | None = None,
) -> None:
    """Parse the command line of a recipe on one public dataset and run it.

    Args:
        name: name of the recipe; run and export folders carry it.
        dataset: the dataset's class.
        defaults: the recipe's settings, which options override.
        with_history: opens the dataset in a folder with histories of a length, begun by those of another folder. With
            it the recipe has the options `--history` and `--histories`. Defaults to `None`.
    """
    placements = ",".join(defaults.group_structure)
    hidden = with_history is None
    history_length = typer.Option(
        "--history", min=0, hidden=hidden, help="Items that the user acted on before, at most; 0 for none."
    )
    earlier_folder = typer.Option(
        "--histories", hidden=hidden, help="Folder with what lies before the log's first day."
    )

    def main(
        data: Annotated[Path, typer.Option("--data", help="Folder with the official files.")],
        download: Annotated[bool, typer.Option("--download", help="Fetch the files into --data first.")] = False,
        run: Run = None,
        saved_models: SavedModels = Path("saved_models"),
        backbone: Backbone = defaults.backbone,
        multi_task: MultiTask = defaults.multi_task,
        sequence_encoder: Histories = defaults.sequence_encoder,
        groups: Groups = placements,
        teacher: Teacher = defaults.teacher,
        epochs: Epochs = defaults.epochs,
        patience: Patience = defaults.patience,
        batch_size: BatchSize = defaults.batch_size,
        seed: Seed = defaults.seed,
        devices: Devices = 1,
        jax_processes: JaxProcesses = 1,
        max_bad_rows: BadRows = 0,
        chunk_rows: ChunkRows = CHUNK_ROWS,
        history: Annotated[int, history_length] = 0,
        earlier: Annotated[Path | None, earlier_folder] = None,
    ) -> None:
        if with_history is None and history:
            raise ValueError(f"{dataset.__name__} has no histories. Leave --history out.")
        if earlier is not None and not history:
            raise ValueError("--histories needs the number of items to take: --history 50.")
        take_part(devices, jax_processes)

        def settings() -> StudySettings:
            chosen = tuple(part.strip() for part in groups.split(",") if part.strip())
            return dataclasses.replace(
                defaults,
                backbone=backbone,
                multi_task=multi_task,
                sequence_encoder=sequence_encoder,
                group_structure=chosen,
                teacher=teacher,
                epochs=epochs,
                patience=patience,
                batch_size=batch_size,
                seed=seed,
            )

        def open_dataset() -> Dataset:
            folder = dataset.download(data) if download else data
            return with_history(folder, history, earlier) if with_history and history else dataset(folder)

        # Models with histories take other inputs, so they are another model, with folders of its own.
        named = f"{name}_history_{history}" if history else name
        run_study(named, open_dataset, settings, run, saved_models, max_bad_rows, chunk_rows=chunk_rows)

    main.__doc__ = (
        f"Train a baseline and a candidate (groups and residual learning) on {dataset.__name__}, compare them on the "
        "test rows and export the candidate. A run that was killed resumes when it is started again."
    )
    run_command(main)


def take_part(devices: int, jax_processes: int) -> None:
    """Let the recipe train with several devices: in the processes that a launcher has started, or in new ones.

    Args:
        devices: number of devices of each process.
        jax_processes: number of processes of JAX to start; this process only waits for them. With 1 none is started.

    Raises:
        SystemExit: when the processes that were started have ended.
    """
    if _LAUNCHED & set(os.environ):
        start()
        if rank() > 0:
            warnings.simplefilter("ignore")
    elif jax_processes > 1:
        sys.exit(launch([sys.executable, *sys.orig_argv[1:]], jax_processes, devices))
    else:
        use_devices(devices)


def run_command(main: Callable[..., None]) -> None:
    """Parse the command line of a function and call it."""
    make_app(main)()


def make_app(main: Callable[..., None]) -> typer.Typer:
    """The command line of a function; a mistake of the user becomes one message."""

    @functools.wraps(main)
    def command(**arguments: Any) -> None:
        try:
            main(**arguments)
        except (ValueError, OSError, RuntimeError) as error:
            process = f"Process {rank()}: " if world_size() > 1 else ""
            Terminal(stderr=True).tagged(f"{process}Error: ", "bold red", error)
            end_process(1)

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run_study(
    name: str,
    dataset: Callable[[], Dataset],
    settings: Callable[[], StudySettings],
    run: Path | None,
    saved_models: Path,
    max_bad_rows: int = 0,
    chunk_rows: int = CHUNK_ROWS,
) -> None:
    """Run a study in its folder."""
    # Rich takes 80 columns where it writes to a file; the tables need more.
    console = Terminal(width=None if sys.stdout.isatty() else 120, quiet=rank() > 0)
    chosen = settings()
    folder = run or Path("runs") / name / f"{keras.backend.backend()}-seed-{chosen.seed}"
    while rank() > 0 and not (folder / PREPARED / REPORT_FILE).exists():
        # The first process prepares, which may take longer than processes wait for each other's messages.
        time.sleep(1.0)
    run_ctr_study(dataset(), chosen, folder, saved_models / name, max_bad_rows, console, chunk_rows=chunk_rows)
