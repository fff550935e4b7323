"""A model and its transforms on disk, and the seeds with which it goes on."""

import shutil
from pathlib import Path

import keras
import numpy as np

from ..datasets import TableTransforms
from ..models import RankingModel

_MODEL, _TRANSFORMS = "model.keras", "transforms"


def save_model(folder: Path, model: RankingModel, transforms: TableTransforms) -> None:
    """Write a model, with its optimizer, and its transforms into a folder."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.save(folder / _MODEL)
    transforms.save(folder / _TRANSFORMS)


def load_model(folder: Path, seed: int) -> tuple[RankingModel, TableTransforms]:
    """Inverse of `save_model`.

    Args:
        folder: where the files lie.
        seed: decides the seeds that a file does not hold, those of initializers and of the rounding of tables in half
            precision. A run gives the same one every time.
    """
    keras.utils.set_random_seed(seed)
    return keras.models.load_model(folder / _MODEL), TableTransforms.load(folder / _TRANSFORMS)


def has_model(folder: Path) -> bool:
    """Whether `load_model` finds a model."""
    return (folder / _MODEL).is_file()


def remove_model(folder: Path) -> None:
    """Inverse of `save_model`. If it is interrupted, `has_model` is false already, and another call does the rest."""
    (folder / _MODEL).unlink(missing_ok=True)
    shutil.rmtree(folder / _TRANSFORMS, ignore_errors=True)


def reseed(model: RankingModel, seed: int) -> None:
    """Set all that a model draws random numbers from, so that it goes on alike whether it was loaded or not.

    Args:
        model: a model that is built.
        seed: of this step.
    """
    keras.utils.set_random_seed(seed)
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for number, state in enumerate(states):
        drawn = np.random.SeedSequence((seed, number)).generate_state(2)
        state.assign(drawn.astype(keras.backend.standardize_dtype(state.dtype)))


def step_seed(seed: int, *numbers: int) -> int:
    """A seed of a step, made of the run's.

    Example:

    >>> step_seed(0, 1) == step_seed(0, 1), step_seed(0, 1) == step_seed(0, 2)
    (True, False)
    """
    return int(np.random.SeedSequence((seed, *numbers)).generate_state(1)[0])
