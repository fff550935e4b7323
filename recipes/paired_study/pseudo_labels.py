"""Teachers of a study, and their predictions for the training rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import PreparedTable
from ...files import whole_file
from ..training import Training
from ..variant import PSEUDO_LABELS, Variant
from .paired_trainer import PairedTrainer
from .study_columns import StudyColumns

FOLDS = 4
# Models whose mean is an ensemble's prediction.
MEMBERS = 4
TEACHERS = ("self", "column", "out_of_time", "cross_fitted", "larger", "ensemble")


def pseudo_labels(kind: str, table: PreparedTable, training: Training, folder: Path) -> dict[str, np.ndarray] | None:
    """Pseudo-labels `teacher_TASK` of all training rows, kept in a folder.

    A teacher never predicts rows that it was trained on. It knows those too well, and the residual would be only the
    noise of the label.

    - `"self"`: the model's own prediction; no columns.
    - `"column"`: extras of the table named `teacher_TASK`, such as the predictions of a model of an earlier period.
    - `"out_of_time"`: a baseline trained on the earlier half predicts the later; the earlier half has none.
    - `"cross_fitted"`: rows are cut into four stretches of time; a baseline trained on three predicts the fourth.
      Random parts would have rows of the same session on both sides.
    - `"larger"`: the same, by a network and embeddings twice as wide.
    - `"ensemble"`: the same, by the mean of four baselines of other seeds.

    Args:
        kind: one of these.
        table: the prepared table.
        training: the baseline's settings.
        folder: where predictions are kept for the next call.

    Raises:
        ValueError: on an unknown kind, or `"column"` where the table has none.
    """
    if kind not in TEACHERS:
        raise ValueError(f"`kind` must be one of {TEACHERS}. Received: kind={kind!r}.")
    if kind == "self":
        return None
    if kind == "column":
        names = [PSEUDO_LABELS.format(task=task) for task in table.schema.task_names]
        return {name: np.asarray(table.column("train", name)) for name in names}
    path = folder / f"{kind}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = table.rows("train")
        if kind == "out_of_time":
            half = rows // 2
            parts = [(np.arange(half), np.arange(half, rows))]
        else:
            # Rows are in the order of time.
            fold = np.arange(rows) * FOLDS // rows
            parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]
        wider = {"embedding_dim": 2 * training.embedding_dim}
        variant = Variant(kind, width=2.0, training=wider) if kind == "larger" else Variant(kind)
        members = range(MEMBERS if kind == "ensemble" else 1)
        found = _predict_parts(variant, table, training, parts, [1000 + member for member in members])
        named: dict[str, Any] = {PSEUDO_LABELS.format(task=task): values for task, values in found.items()}
        with whole_file(path) as partial:
            np.savez(partial, **named)
    with np.load(path) as saved:
        return {name: saved[name] for name in saved.files}


def _predict_parts(
    variant: Variant,
    table: PreparedTable,
    training: Training,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    seeds: Sequence[int],
) -> Mapping[str, np.ndarray]:
    columns = StudyColumns(table)
    found = {task: np.full(table.rows("train"), np.nan, "float32") for task in table.schema.task_names}
    trainer = PairedTrainer(variant, training, columns)
    for taught, asked in parts:
        total: dict[str, np.ndarray] = {}
        for seed in seeds:
            predicted = trainer.train(seed, taught).predict_proba(columns.batches("train", asked))
            total = {task: total.get(task, 0.0) + p / len(seeds) for task, p in predicted.items()}
        for task, mean in total.items():
            found[task][asked] = mean
    return found
