"""Trains one model of a study, resuming where a killed run stopped."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from ..datasets import PreparedTable
from ..distribution import rank, world_size
from ..files import whole_file
from ..models import CTRModel
from .epoch_backup import EpochBackup
from .epoch_report import EpochReport
from .training import Training


def train_model(
    build: Callable[[], CTRModel],
    folder: Path,
    table: PreparedTable,
    training: Training,
    *,
    seed: int,
    console: Console,
    patience: int | None = None,
    targets: Mapping[str, Any] | None = None,
    rows: slice | None = None,
) -> CTRModel:
    """Train a model, or load it if an earlier run has finished it.

    The folder gets `history.csv`, TensorBoard logs and `model.keras`; a backup of
    every epoch lets the next call go on from the last one that ended, to the same
    weights and figures.

    Processes that train together share each step's rows among them. All must call this function, and the first one
    writes.

    With `patience`, training stops when the mean validation NE has not improved for
    so many epochs, and the best epoch's model is returned and saved. In that mean every task counts equally, while the
    most frequent task would dominate `val_loss`.

    Args:
        build: makes the untrained model; called after the seed is set.
        folder: where the model's files go.
        table: the prepared table.
        training: batch size, learning rate and number of epochs; with `patience` the largest number.
        seed: of weights and shuffling.
        console: where progress is printed.
        patience: epochs without a better one before training stops. Defaults to `None`:
            all epochs are trained, and the last is kept.
        targets: pseudo-labels by target column, see `PreparedTable.batches`.
        rows: the part of the training rows to use, or `None` for all.

    Raises:
        OSError: if the disk is full. Complete files stay, and the next call continues from them.
        ValueError: if the processes cannot share a step's rows evenly.
    """
    finished, states = folder / "model.keras", folder / "backup"
    if finished.exists():
        if rank() == 0:
            shutil.rmtree(states, ignore_errors=True)
        console.print(f"{folder.name}: already trained, taken from {finished}")
        return keras.models.load_model(finished)
    keras.utils.set_random_seed(seed)
    model = build()
    processes: dict[str, Any] = {"rank": rank(), "world_size": world_size()}
    batch_size, rest = divmod(training.rows_per_step(table.rows("train")), world_size())
    if rest:
        raise ValueError(
            f"The rows of a step are shared evenly among the processes. Received: {batch_size * world_size() + rest} "
            f"rows per step and {world_size()} processes. Pass another --batch-size."
        )
    loader = table.batches("train", batch_size, shuffle=True, seed=seed, targets=targets, rows=rows, **processes)
    model.compile(keras.optimizers.Adam(training.rate(loader.rows * world_size())))

    def tell(line: str) -> None:
        console.print(f"{folder.name}: {line}", markup=False)

    backup = EpochBackup(states, folder / "history.csv", patience, _figures(model, table), tell)
    report = EpochReport(folder.name, console)
    if backup.find():
        tell(f"resuming after epoch {backup.epochs} from {states}")
    else:
        # From the shuffled first epoch, since the file's own order would show only one day to k-means.
        model.adapt(loader)
    if not backup.stopped and backup.epochs < training.epochs:
        logs = folder / "tensorboard"
        try:
            model.fit(
                loader,
                epochs=training.epochs,
                initial_epoch=backup.epochs,
                validation_data=table.batches("validation", 8192 // world_size(), **processes),
                # The loader shuffles already, in blocks.
                shuffle=False,
                verbose=0,
                callbacks=[
                    loader.follow(),
                    *([keras.callbacks.TensorBoard(str(logs), write_graph=False)] if rank() == 0 else []),
                    report,
                    backup,
                ],
            )
        except Exception as error:
            # TensorBoard writes through TensorFlow, whose errors are not OSErrors; nobody else writes to its folder.
            if isinstance(error, OSError) or str(logs) not in str(error):
                raise
            said = getattr(error, "message", error)
            raise OSError(f"{logs} could not be written: {said}. Make room and give the command again") from error
    backup.load_best(model)
    if patience is not None:
        report.show_best(backup.best, backup.epochs)
    with whole_file(finished) as partial:
        model.save(partial)
    if rank() == 0:
        shutil.rmtree(states)
    return model


def _figures(model: CTRModel, table: PreparedTable) -> list[str]:
    """Names of the validation NEs to stop by: of the predictions whose labels are not all alike."""
    columns = {task: np.asarray(table.column("validation", task), "float32") for task in table.schema.task_names}
    labels = {name: keras.ops.convert_to_numpy(label) for name, label in model.labels(columns).items()}
    known = {name: label[np.isfinite(label)] for name, label in labels.items()}
    chosen = [name for name, label in known.items() if len(label) and label.min() < label.max()]
    if len(labels) == 1:
        # With one prediction Keras leaves its name out.
        return ["val_normalized_entropy"] if chosen else ["val_loss"]
    return [f"val_{name}_normalized_entropy" for name in chosen] or ["val_loss"]
