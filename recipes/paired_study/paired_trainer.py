"""Trains one variant under many seeds, compiled once."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ...models import CTRModel
from ..training import Training
from ..validation_entropy import validation_entropies
from ..variant import Variant
from .study_columns import StudyColumns


class PairedTrainer:
    """Trains a variant seed by seed.

    Small models spend most of a run compiling. So only the first seed's model is compiled. Each further seed builds its
    own model, so that its weights and codebooks are those of a separate run, and the state of that model is copied into
    the compiled one.

    Args:
        variant: what to train.
        training: the study's settings.
        columns: what to train on.
    """

    def __init__(self, variant: Variant, training: Training, columns: StudyColumns) -> None:
        self.variant, self.columns = variant, columns
        self.settings = variant.settings(training.for_table(columns.table))
        self._model: CTRModel | None = None

    def train(
        self,
        seed: int,
        rows: np.ndarray | None = None,
        curves: dict[str, list[float]] | None = None,
    ) -> CTRModel:
        """A trained model; the next call's model takes its place.

        Args:
            seed: seed of weights, dropout, shuffle and codebooks.
            rows: numbers of the training rows to use, all by default. A falling learning rate falls as over the first
                call's number of rows.
            curves: gets the NE of the validation rows after each epoch. Defaults to `None`, which saves that time.
        """
        keras.utils.set_random_seed(seed)
        fresh = self.variant.model(self.columns.schema, self.settings, seed)
        count = self.columns.table.rows("train") if rows is None else len(rows)
        loader = self.columns.training(self.settings.rows_per_step(count), seed, rows)
        if fresh.group_concats:
            fresh.adapt(loader)
        if self._model is None:
            self._model = fresh
            self._model.compile(keras.optimizers.Adam(self.settings.rate(count)), metrics={})
        else:
            _copy_state(fresh, self._model)
        model = self._model
        callbacks: list[Any] = [loader.follow()]
        if curves is not None:
            measure = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._measure(model, curves))
            callbacks.append(measure)
        model.fit(loader, epochs=self.settings.epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return model

    def _measure(self, model: CTRModel, curves: dict[str, list[float]]) -> None:
        found = validation_entropies(model, self.columns.table, self.columns.batches("validation"))
        for task, entropy in found.items():
            curves.setdefault(f"val_{task}_normalized_entropy", []).append(float("nan") if entropy is None else entropy)

    def predictions(self, model: CTRModel, split: str) -> dict[str, np.ndarray]:
        """Probabilities by task, and group ids by placement as `groups/PLACEMENT`, of a split's rows."""
        batches = self.columns.batches(split)
        probabilities = {task: p.astype("float32") for task, p in model.predict_proba(batches).items()}
        codes = model.groups(self.columns.batches(split)) if model.group_concats else {}
        return probabilities | {f"groups/{placement}": ids.astype("int16") for placement, ids in codes.items()}


def parameters(model: CTRModel, names: Sequence[str] = ("embedding",)) -> tuple[int, int]:
    """Trainable numbers of the served model without its embedding table, and of the table."""
    table = sum(int(np.prod(w.shape)) for name in names for w in model.get_layer(name).trainable_weights)
    return sum(int(np.prod(w.shape)) for w in model.logits_model().trainable_weights) - table, table


def _copy_state(source: CTRModel, target: CTRModel) -> None:
    for old, new in zip(target.variables, source.variables, strict=True):
        old.assign(new)
    for slot in target.optimizer.variables:
        # Without a schedule the learning rate is one of the variables.
        if slot is not target.optimizer._learning_rate:
            slot.assign(np.zeros(slot.shape, slot.dtype))
