"""What an export leaves in its folder for the process that writes the file."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from .custom_modules import custom_modules
from .layout.server_files import MAX_BATCH_SIZE


def hand_over(
    model: Any,
    work: Path,
    transforms: TableTransforms | None = None,
    raw: Mapping[str, np.ndarray] | None = None,
    name: str | None = None,
) -> None:
    """Save the model, the modules that its classes come from, and what else is given.

    Args:
        model: a Keras model.
        work: the folder.
        transforms: what stands before the model. Defaults to `None`.
        raw: raw columns to make warm-up requests of. Defaults to `None`.
        name: under which the model is served. Defaults to `None`.
    """
    # First, since it may refuse.
    (work / "modules.json").write_text(json.dumps(custom_modules(model)), encoding="utf-8")
    model.save(work / "model.keras")
    if transforms is not None:
        transforms.save(work / "transforms")
    if raw is not None:
        rows = {column: values[:MAX_BATCH_SIZE] for column, values in raw.items()}
        (work / "rows.pickle").write_bytes(pickle.dumps(rows))
    if name is not None:
        (work / "name.txt").write_text(name)
