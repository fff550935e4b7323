"""Trains one model of a study, resuming where a killed run stopped."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from ..datasets import PreparedTable
from ..models import CTRModel
from .epoch_report import EpochReport


def train_model(
    build: Callable[[], CTRModel],
    folder: Path,
    table: PreparedTable,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    console: Console,
    patience: int = 2,
    targets: Mapping[str, Any] | None = None,
    rows: slice | None = None,
) -> CTRModel:
    """Train a model, or return it as it was saved if the run had come that far.

    The folder gets `history.csv`, TensorBoard logs and `model.keras`; a backup of
    every epoch lets the next call go on from the last one that ended.

    Args:
        build: makes the untrained model; called after the seed is set.
        folder: where the model's files go.
        table: the prepared table.
        epochs: most passes over the training rows.
        batch_size: rows per step.
        learning_rate: of Adam.
        seed: of weights and shuffling.
        console: where progress is printed.
        patience: epochs without a lower `val_loss` after which training stops. The best weights are kept. Defaults to
            `2`.
        targets: pseudo-labels by target column, see `PreparedTable.batches`.
        rows: the part of the training rows to use, or `None` for all.
    """
    finished = folder / "model.keras"
    if finished.exists():
        console.print(f"{folder.name}: already trained, taken from {finished}")
        return keras.models.load_model(finished)
    keras.utils.set_random_seed(seed)
    model = build()
    model.compile(keras.optimizers.Adam(learning_rate))
    loader = table.batches("train", batch_size, shuffle=True, seed=seed, targets=targets, rows=rows)
    backup = folder / "backup"
    if backup.exists():
        console.print(f"{folder.name}: resuming from {backup}")
    else:
        # Start from the shuffled first epoch: the file's own order would show k-means one day only.
        model.adapt(loader)
    model.fit(
        loader,
        epochs=epochs,
        validation_data=table.batches("validation", 8192),
        # The loader shuffles already, in blocks.
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(backup), delete_checkpoint=False),
            keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min", restore_best_weights=True),
            loader.follow(),
            keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False),
            keras.callbacks.CSVLogger(str(folder / "history.csv"), append=True),
            EpochReport(folder.name, console),
        ],
    )
    model.save(folder / "unfinished.keras")
    os.replace(folder / "unfinished.keras", finished)
    shutil.rmtree(backup, ignore_errors=True)
    return model
