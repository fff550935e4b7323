"""Pseudo-labels by a teacher that has not seen their rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import PreparedTable
from ..files import whole_file
from ..models import CTRModel


def out_of_time_pseudo_labels(
    train_teacher: Callable[[slice], CTRModel], table: PreparedTable, columns: Mapping[str, str], folder: Path
) -> dict[str, np.ndarray]:
    """Predictions for the later half of the training rows by a teacher trained on the earlier half.

    A teacher's predictions on its own training rows lie too close to their labels and shrink the residual that residual
    learning needs. Rows are in the order of time. Those of the earlier half get NaN and are left out of the residual
    loss.

    Args:
        train_teacher: trains a model on the given training rows.
        table: the prepared table.
        columns: name of the target column by task.
        folder: where the predictions are kept for a resumed run.

    Returns:
        Target column to float32 array of all training rows.
    """
    path = folder / "pseudo_labels.npz"
    if not path.exists():
        rows = table.rows("train")
        half = rows // 2
        teacher = train_teacher(slice(0, half))
        predicted = teacher.predict_proba(table.batches("train", 8192, rows=slice(half, rows)))
        unknown = np.full(half, np.nan, "float32")
        labels: dict[str, Any] = {columns[task]: np.concatenate([unknown, predicted[task]]) for task in columns}
        with whole_file(path) as partial:
            np.savez(partial, **labels)
    with np.load(path) as saved:
        return {name: saved[name] for name in saved.files}
