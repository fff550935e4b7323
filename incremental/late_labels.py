"""Labels that arrive after their period."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableDescription
from ..datasets.kinds import LabelColumn
from ..models import RankingModel
from ..reports import task_metrics
from .period import Period
from .period_rows import PeriodRows


@dataclasses.dataclass(frozen=True)
class LateLabels:
    """Labels of an earlier period that arrived after it was trained, such as conversions days after the click.

    The rows that they name are trained once more, with their late labels, together with the period of the step that
    they are given to. Other labels of these rows are left out, but for those of tasks that another task is given, since
    they decide its sample space. A row that was trained with a label of 0 stays
    trained with it: give conversions that are not known yet as missing rather than as 0 in their own period. Rows that
    were held out to calibrate the model are not trained with their late labels either, but calibrate it with them.

    Args:
        period: the earlier period, whose files hold the rows.
        labels: a frame, or the path of a Parquet file, with columns of labels named as in the description of the table,
            missing where nothing is new. Without a `key` it has a row for each row of the period, in the same order.
        key: the column, here and in the period, by which rows are found; each key names one row. Defaults to `None`.

    Example:

    ```python
    late = gr.incremental.LateLabels(days[3], "late/2024-01-04.parquet", key="impression_id")
    trainer.step(days[6], late=[late])
    ```
    """

    period: Period
    labels: pl.DataFrame | str | Path
    key: str | None = None

    def rows(self, rows: PeriodRows) -> tuple[pl.DataFrame, np.ndarray]:
        """The rows that have a late label, with these labels alone, and their numbers in the period.

        Args:
            rows: what reads periods.

        Raises:
            ValueError: if the labels do not fit the period's rows.
        """
        description = rows.typed.description
        given = self._labels(description)
        given_tasks = {task.given for task in description.tasks if task.given is not None}
        found, numbers = [], []
        read = 0
        for chunk in rows.chunks(self.period, [] if self.key is None else [self.key]):
            read += len(chunk.frame)
            if self.key is None:
                labels = given.slice(chunk.numbers[0], len(chunk.frame))
                if len(labels) < len(chunk.frame):
                    continue
            else:
                keys = chunk.extras.select(pl.col(self.key).cast(pl.String))
                labels = keys.join(given, on=self.key, how="left", maintain_order="left").drop(self.key)
            late = labels.select(~pl.all_horizontal(pl.all().is_null())).to_series()
            kept = labels.with_columns(labels[task].fill_null(chunk.frame[task]) for task in given_tasks)
            found.append(chunk.frame.with_columns(kept.get_columns()).filter(late))
            numbers.append(chunk.numbers[late.to_numpy()])
        if self.key is None and read != len(given):
            raise ValueError(
                f"Late labels of period {self.period.name}: expected a row for each of its {read} rows. Received: "
                f"{len(given)} rows. Name a `key` to give fewer."
            )
        if not any(len(frame) for frame in found):
            raise ValueError(
                f"Late labels of period {self.period.name}: none of the {len(given)} rows given names a row of it with "
                "a known label. Look at the key, or leave the period out."
            )
        return pl.concat(found), np.concatenate(numbers)

    def figures(
        self,
        model: RankingModel,
        frame: pl.DataFrame,
        numbers: np.ndarray,
        predictions: Mapping[str, np.ndarray] | None,
    ) -> dict[str, Any]:
        """What the ledger says of the rows: how many there are, and how well they were predicted at the time.

        Args:
            model: the model, whose tasks the labels are.
            frame: the rows, as `rows` gives them.
            numbers: their numbers in the period.
            predictions: what was predicted for the rows of the period when it came, `None` if nothing was.
        """
        labels = model.labels({task: LabelColumn(task).encode(frame[task]) for task in model.schema.task_names})
        metrics = {}
        for name, known in labels.items():
            values = np.reshape(keras.ops.convert_to_numpy(known), -1)
            predicted = np.full(len(values), np.nan) if predictions is None else predictions[name][numbers]
            metrics[name] = task_metrics(np.where(np.isnan(predicted), np.nan, values), predicted).to_dict()
        return {"period": self.period.name, "rows": len(frame), "metrics": metrics}

    def _labels(self, description: TableDescription) -> pl.DataFrame:
        """The labels by task, null where nothing is new, and the key as text."""
        where = f"Late labels of period {self.period.name}"
        frame = self.labels if isinstance(self.labels, pl.DataFrame) else pl.read_parquet(self.labels)
        raw = {task: label for task, label in description.labels.items() if label in frame.columns}
        if not raw or (self.key is not None and self.key not in frame.columns):
            wanted = [*description.labels.values(), *([] if self.key is None else [self.key])]
            raise ValueError(f"{where}: expected columns of {wanted}. Received: {frame.columns}.")
        columns = {}
        for task, label in description.labels.items():
            values = frame[label] if task in raw else pl.Series(label, [None] * len(frame), pl.Float32)
            columns[task] = LabelColumn(label).typed(values, functools.partial(_refuse, f"{where}: column {label!r}"))
        if self.key is not None:
            columns[self.key] = frame[self.key].cast(pl.String)
            if columns[self.key].is_duplicated().any():
                twice = columns[self.key].filter(columns[self.key].is_duplicated())[0]
                raise ValueError(f"{where}: each {self.key!r} must name one row. Received twice: {twice!r}.")
        return pl.DataFrame([values.alias(name) for name, values in columns.items()])


def _refuse(where: str, wrong: np.ndarray, expected: str) -> None:
    if wrong.any():
        raise ValueError(f"{where}, row {int(np.flatnonzero(wrong)[0])}: expected {expected}.")
