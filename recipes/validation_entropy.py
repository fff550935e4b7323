"""Validation NE as a figure of every epoch."""

from typing import Any

import keras
import numpy as np

from ..datasets import PreparedTable
from ..datasets.batch_loader import BatchLoader
from ..models import CTRModel
from ..reports import task_metrics

FIGURE = "val_normalized_entropy"


class ValidationEntropy(keras.callbacks.Callback):
    """Adds the mean NE of a model's predictions on the validation rows to the epoch's logs.

    `val_loss` is a poor figure to stop by, since it contains penalties that grow while a model still gets better. Put
    this callback before the callbacks that read its figure, which is named `FIGURE`.

    Args:
        table: the prepared table.
        batch_size: rows per step. Defaults to `8192`.
    """

    model: CTRModel

    def __init__(self, table: PreparedTable, batch_size: int = 8192) -> None:
        super().__init__()
        self._table, self._batch_size = table, batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure."""
        if logs is not None:
            logs[FIGURE] = self.measure(self.model)

    def measure(self, model: CTRModel) -> float:
        """Mean NE over the predictions whose labels are not all alike."""
        found = validation_entropies(model, self._table, self._table.batches("validation", self._batch_size))
        return float(np.mean([entropy for entropy in found.values() if entropy is not None]))


def validation_entropies(model: CTRModel, table: PreparedTable, batches: BatchLoader) -> dict[str, float | None]:
    """NE of the validation rows by prediction, `None` where all labels are alike.

    Args:
        model: the model.
        table: the prepared table, for the labels.
        batches: all validation rows in their order, with the columns that the model reads.
    """
    columns = {task: np.asarray(table.column("validation", task), "float32") for task in table.schema.task_names}
    probabilities = model.predict_proba(batches)
    return {
        name: task_metrics(keras.ops.convert_to_numpy(label), probabilities[name]).normalized_entropy
        for name, label in model.labels(columns).items()
    }
