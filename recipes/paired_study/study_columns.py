"""The columns that a study trains on and predicts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...datasets import PreparedTable
from ...datasets.batch_loader import BatchLoader
from ...schema import Schema
from .random_codes import RandomCodes


class StudyColumns:
    """A prepared table with the columns that single variants add.

    Args:
        table: the prepared table.
        random_codes: fields of random groups, for the control. Defaults to `None`.
        pseudo_labels: columns `teacher_TASK` for all training rows, NaN where there are none. Defaults to `None`.
    """

    def __init__(
        self,
        table: PreparedTable,
        random_codes: RandomCodes | None = None,
        pseudo_labels: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.table = table
        self.random_codes = random_codes
        self.pseudo_labels = dict(pseudo_labels or {})

    @property
    def schema(self) -> Schema:
        """Features and tasks, those of the control included."""
        return self.table.schema if self.random_codes is None else self.random_codes.schema(self.table.schema)

    def training(self, batch_size: int, seed: int, rows: np.ndarray | None = None) -> BatchLoader:
        """Shuffled batches of the training rows, or of those chosen."""
        targets: dict[str, Any] = {task: self.table.column("train", task) for task in self.table.schema.task_names}
        chosen = slice(None) if rows is None else rows
        features = {name: values[chosen] for name, values in self._features("train").items()}
        targets = {name: values[chosen] for name, values in {**targets, **self.pseudo_labels}.items()}
        return BatchLoader(features, targets, batch_size, shuffle=True, seed=seed, schema=self.table.schema)

    def batches(self, split: str, rows: np.ndarray | None = None) -> BatchLoader:
        """Rows of a split in their order, for predictions."""
        chosen = slice(None) if rows is None else rows
        features = {name: values[chosen] for name, values in self._features(split).items()}
        targets = {task: self.table.column(split, task)[chosen] for task in self.table.schema.task_names}
        return BatchLoader(features, targets, 8192, schema=self.table.schema)

    def _features(self, split: str) -> dict[str, np.ndarray]:
        columns = {name: np.asarray(self.table.column(split, name)) for name in self.table.schema.feature_names}
        return columns | ({} if self.random_codes is None else self.random_codes.columns(columns))
