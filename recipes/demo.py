"""A synthetic ads log with planted groups: all steps in minutes, without a download.

`python -m grouprank.recipes.demo`

Writes a raw log as CSV, prepares it, trains a baseline and a candidate on four click tasks, compares
them on the last two days, exports the candidate and scores raw rows from the SavedModel.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import keras
import typer

from ..datasets import Dataset, SyntheticAds
from ..files import run_lock
from .command import Epochs, Patience, Run, SavedModels, Seed, run_command, run_study
from .study_settings import StudySettings

SETTINGS = StudySettings(backbone="mlp", num_levels=2, codebook_size=32, teacher="column", dropout=0.2)


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Impressions to generate.")] = 100_000,
    run: Run = None,
    saved_models: SavedModels = Path("saved_models"),
    epochs: Epochs = SETTINGS.epochs,
    patience: Patience = SETTINGS.patience,
    seed: Seed = SETTINGS.seed,
) -> None:
    """Train, compare and export on a synthetic ads log with planted groups."""
    folder = run or Path("runs") / "demo" / f"{keras.backend.backend()}-seed-{seed}-rows-{rows}"

    def dataset() -> Dataset:
        log = folder / "ads.csv"
        with run_lock(folder):
            if not log.exists():
                SyntheticAds(rows=rows, seed=seed, num_users=4000, num_ads=400).write(log)
        return SyntheticAds.read(log)

    settings = dataclasses.replace(SETTINGS, epochs=epochs, patience=patience, seed=seed)
    run_study("demo", dataset, lambda: settings, folder, saved_models)


if __name__ == "__main__":
    run_command(main)
