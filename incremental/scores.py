"""What a model predicts for rows, beside their labels."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableTransforms
from ..datasets.kinds import LabelColumn
from ..models import RankingModel
from ..reports import task_metrics
from .period_rows import Chunk


@dataclasses.dataclass(frozen=True)
class Scores:
    """Predictions and labels of rows. Made by `score`.

    Args:
        predictions: probabilities by prediction, float32; empty without a model.
        labels: the label of each prediction, NaN where it is unknown or outside of its sample space.
        users: whose rows they are, or `None`.
        unknown: share of the tokens that the transforms do not know, by feature.
        rows: number of rows.

    Example:

    ```python
    scores = score(model, transforms, rows.chunks(period), batch_size=4096)
    print(scores.metrics()["click"]["normalized_entropy"])
    ```
    """

    predictions: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    users: pl.Series | None
    unknown: dict[str, float]
    rows: int

    @property
    def labelled(self) -> bool:
        """Whether any label is known."""
        return any(not np.isnan(labels).all() for labels in self.labels.values())

    def metrics(self, predictions: Mapping[str, np.ndarray] | None = None) -> dict[str, dict[str, Any]]:
        """Rows, rate, cross entropy, NE, AUC and calibration by prediction (see `gr.reports.task_metrics`).

        Args:
            predictions: other predictions for the same rows. Defaults to `None`, these.
        """
        found = self.predictions if predictions is None else predictions
        return {name: task_metrics(self.labels[name], found[name]).to_dict() for name in found}

    def with_predictions(self, predictions: dict[str, np.ndarray], period: str) -> "Scores":
        """The same rows with predictions that were made before.

        Args:
            predictions: probabilities by prediction.
            period: whose rows they are, for the error.

        Raises:
            ValueError: if they are of other rows.
        """
        wrong = {len(values) for values in predictions.values()} - {self.rows}
        if wrong:
            raise ValueError(
                f"Period {period} had {wrong.pop()} rows when it was scored and has {self.rows} now. Its labels may "
                "come later, but its rows must stay as they were."
            )
        return dataclasses.replace(self, predictions=predictions)

    def of(self, rows: np.ndarray) -> "Scores":
        """Those of some rows."""
        users = None if self.users is None else self.users.filter(pl.Series(rows))
        predictions, labels = (
            {name: values[rows] for name, values in found.items()} for found in (self.predictions, self.labels)
        )
        return Scores(predictions, labels, users, self.unknown, int(np.count_nonzero(rows)))


def score(
    model: RankingModel,
    transforms: TableTransforms,
    chunks: Iterable[Chunk],
    batch_size: int,
    user: str | None = None,
    predict: bool = True,
) -> Scores:
    """Predict rows chunk by chunk; nothing is learned from them.

    Args:
        model: the model.
        transforms: the transforms of its schema.
        chunks: the rows.
        batch_size: rows per batch. The last batch of a chunk is filled up, so that every call has one shape.
        user: column of the chunks' extras that says whose rows they are. Defaults to `None`.
        predict: whether to predict; otherwise only labels and tokens are looked at. Defaults to `True`.
    """
    predictions: dict[str, list[np.ndarray]] = {}
    targets: dict[str, list[np.ndarray]] = {task: [] for task in model.schema.task_names}
    users: list[pl.Series] = []
    counts: dict[str, np.ndarray] = {}
    rows = 0
    for chunk in chunks:
        if not len(chunk.frame):
            continue
        rows += len(chunk.frame)
        encoded = transforms.encode(chunk.frame)
        for name, transform in transforms.columns.items():
            if transform.counts_unknown:
                new = np.array([encoded[name].replaced, encoded[name].total])
                counts[name] = counts.get(name, np.zeros(2)) + new
        for task, labels in targets.items():
            labels.append(LabelColumn(task).encode(chunk.frame[task]))
        if user is not None:
            users.append(chunk.extras[user])
        if predict:
            columns = {name: values.array for name, values in encoded.items()}
            for name, probabilities in _predict(model, columns, batch_size).items():
                predictions.setdefault(name, []).append(probabilities)
    labels_of = model.labels({task: np.concatenate(labels) for task, labels in targets.items()})
    return Scores(
        {name: np.concatenate(parts) for name, parts in predictions.items()},
        {name: np.reshape(keras.ops.convert_to_numpy(labels), -1) for name, labels in labels_of.items()},
        pl.concat(users) if users else None,
        {name: float(unknown / max(total, 1)) for name, (unknown, total) in counts.items()},
        rows,
    )


def _predict(model: RankingModel, columns: dict[str, np.ndarray], batch_size: int) -> dict[str, np.ndarray]:
    rows = len(next(iter(columns.values())))
    short = -rows % batch_size
    filled = {name: np.concatenate([values, np.repeat(values[:1], short, axis=0)]) for name, values in columns.items()}
    return {name: values[:rows] for name, values in model.predict_proba(filled, batch_size=batch_size).items()}
