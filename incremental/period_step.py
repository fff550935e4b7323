"""One period: scored by yesterday's model, trained, and judged."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import polars as pl

from ..datasets import TableTransforms
from ..datasets.kinds import LabelColumn
from ..datasets.transforms.uniform_numbers import uniform_numbers
from ..models import CTRModel, RankingModel, grow
from .held_out_rows import HeldOutRows
from .judge import judge
from .late_labels import LateLabels
from .model_files import reseed, step_seed
from .period import Period
from .period_profile import period_profile
from .period_rows import Chunk, PeriodRows
from .replay import Replay
from .scores import Scores, score
from .settings import Settings
from .training_columns import Part, TrainingColumns

# Which random draw of a step a seed belongs to.
_HELD_OUT, _SAMPLE, _PROFILE = 1, 2, 3
# In a step's folder: what later logs of the version are compared with.
PROFILE_FILE = "log_profile.json"
# Rows that it is made of. Between two such samples the PSI of 50 bins is about 0.002 by chance.
PROFILE_ROWS = 50_000


class Base(NamedTuple):
    """What a step goes on from.

    Args:
        step: the step that made it, 0 for what the run began with.
        model: yesterday's model.
        transforms: yesterday's transforms.
        periods: number of periods that it was trained on in this run.
        replayed: rows of earlier periods to train again, or `None`.
        held_out: rows of earlier periods that were never trained, or `None`.
    """

    step: int
    model: RankingModel
    transforms: TableTransforms
    periods: int
    replayed: pl.DataFrame | None
    held_out: pl.DataFrame | None

    @property
    def trained(self) -> bool:
        """Whether the model has learned anything; otherwise it is neither a judge nor a teacher."""
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)) > 0


class PeriodStep:
    """The work of one step, without its ledger.

    Args:
        rows: what reads periods.
        settings: how to train.
        number: number of the step, which decides its seeds.
        tell: called with the name of each part of the work when it begins.

    Example:

    See `IncrementalTrainer`, which calls `score` and `train`.
    """

    def __init__(self, rows: PeriodRows, settings: Settings, number: int, tell: Callable[[str], None]) -> None:
        self._rows, self._settings, self._number, self._tell = rows, settings, number, tell
        self._seed = step_seed(settings.seed, number)
        self._part, self._began = "", time.perf_counter()
        self.seconds: dict[str, float] = {}

    def score(self, base: Base, period: Period, predict: bool) -> Scores:
        """Yesterday's predictions for a period: its progressive validation, and its pseudo-labels.

        Args:
            base: yesterday's model and transforms.
            period: the period.
            predict: whether to predict; otherwise only labels are read.
        """
        self._begin("score")
        settings = self._settings
        chunks = self._rows.chunks(period, self._users)
        return score(base.model, base.transforms, chunks, settings.batch_size, settings.user, predict)

    def train(
        self,
        base: Base,
        period: Period,
        scores: Scores,
        work: Path,
        late: Sequence[tuple[LateLabels, dict[str, np.ndarray] | None]] = (),
        held_out: Period | None = None,
        fresh: bool = True,
        profiled: bool = False,
    ) -> tuple[RankingModel, TableTransforms, dict[str, Any]]:
        """Today's model, trained from yesterday's, and what there is to say of it.

        Args:
            base: yesterday's model and transforms; the model is changed.
            period: the period, which has labels.
            scores: yesterday's predictions for it, none if nothing was trained before.
            work: the step's folder; the rows that the next step trains again or calibrates on are written there.
            late: labels of earlier periods, each with the predictions made for its period then.
            held_out: rows to judge by, `None` for a share of the period's.
            fresh: whether `scores` are those of `base`. Otherwise the period has waited for its labels, and the gate
                asks `base` again.
            profiled: whether to write a profile of the period's rows and their new scores into `work`.
        """
        settings = self._settings
        judged = base.trained and bool(settings.gate)
        calibrated = isinstance(base.model, CTRModel) and bool(base.model.calibrations)
        judging, fitting = self._held_out(scores.rows, judged and held_out is None, calibrated)
        held = judging | fitting
        if held_out is not None:
            yesterday = self.score(base, held_out, predict=judged)
        else:
            yesterday = (scores if fresh or not judged else self.score(base, period, predict=True)).of(judging)
        base, late_rows, late_figures = self._late_rows(base, late)
        self._begin("extend")
        reseed(base.model, self._seed)
        transforms, growth = base.transforms.extended(chunk.frame for chunk in self._chunks(period, ~held))
        model = grow(base.model, transforms.schema, reset=growth.handed_on, seed=self._number)
        reseed(model, self._seed)
        self._begin("train")
        trained = self._fit(base, model, transforms, period, scores, ~held, late_rows, work)
        said: dict[str, Any] = {
            "growth": growth.to_dict(),
            "trained_rows": trained,
            "calibrated_rows": self._calibrate(base, model, transforms, period, fitting, work) if calibrated else 0,
            "late": late_figures,
            "gate": None,
        }
        if judged and yesterday.rows:
            self._begin("judge")
            chunks = self._chunks(period, judging) if held_out is None else self._rows.chunks(held_out, self._users)
            today = score(model, transforms, chunks, settings.batch_size).predictions
            said["gate"] = judge(yesterday, today, settings.gate)
        if profiled:
            self._profile(model, transforms, period, held, work)
        self._begin("save")
        return model, transforms, said

    def _late_rows(
        self, base: Base, late: Sequence[tuple[LateLabels, dict[str, np.ndarray] | None]]
    ) -> tuple[Base, list[pl.DataFrame], list[dict[str, Any]]]:
        """Rows with late labels to train, and what the ledger says of them.

        Held-out rows of an earlier period calibrate the model with their late labels, and stay out of training.
        """
        frames, figures = [], []
        for labels, then in late:
            frame, numbers = labels.rows(self._rows)
            held_out, theirs = HeldOutRows.with_late_labels(
                base.held_out, frame, numbers, labels.period.name, base.model.schema.task_names
            )
            base = base._replace(held_out=held_out)
            figures.append({**labels.figures(base.model, frame, numbers, then), "held_out": int(theirs.sum())})
            frames.append(frame.filter(pl.Series(~theirs)))
        return base, frames, figures

    def _fit(
        self,
        base: Base,
        model: RankingModel,
        transforms: TableTransforms,
        period: Period,
        scores: Scores,
        chosen: np.ndarray,
        late: Sequence[pl.DataFrame],
        work: Path,
    ) -> int:
        """Train the chosen rows of a period, earlier ones and late ones; returns the number of the first."""
        settings = self._settings
        sampled = uniform_numbers(np.arange(scores.rows), step_seed(self._seed, _SAMPLE)) < settings.replay
        sample: list[pl.DataFrame] = []
        teacher = pseudo_label_columns(model)

        def parts() -> Iterator[Part]:
            for chunk in self._chunks(period, chosen):
                sample.append(chunk.frame.filter(pl.Series(sampled[chunk.numbers])))
                pseudo = {column: scores.predictions[task] for task, column in teacher.items() if scores.predictions}
                yield Part(chunk.frame, {column: values[chunk.numbers] for column, values in pseudo.items()})
            if base.replayed is not None:
                yield Part(base.replayed, {})
            for frame in late:
                yield Part(frame, {}, settings.late_weight)

        rows = int(np.count_nonzero(chosen))
        more = sum(len(frame) for frame in [*late, *([] if base.replayed is None else [base.replayed])])
        columns = TrainingColumns(work / "train.npy", transforms, teacher.values(), weighted=bool(late))
        columns.write(parts(), rows + more)
        loader = columns.batches(settings.batch_size, self._seed, settings.negative_rate, settings.recalibrate)
        if not base.trained:
            model.adapt(loader)
        model.fit(loader, epochs=settings.epochs, shuffle=False, verbose=0, callbacks=[loader.follow()])
        (work / "train.npy").unlink()
        Replay(work, settings.replay).save(base.replayed, pl.concat(sample), base.periods + 1, self._seed)
        return rows

    def _held_out(self, rows: int, judged: bool, calibrated: bool) -> tuple[np.ndarray, np.ndarray]:
        """Which rows judge today's model, and which calibrate it. No row does both, and none of them is trained."""
        numbers = uniform_numbers(np.arange(rows), step_seed(self._seed, _HELD_OUT))
        share = self._settings.held_out if judged or calibrated else 0.0
        to_judge = share / (2 if calibrated else 1) if judged else 0.0
        return numbers < to_judge, (numbers >= to_judge) & (numbers < share)

    def _calibrate(
        self,
        base: Base,
        model: RankingModel,
        transforms: TableTransforms,
        period: Period,
        fitting: np.ndarray,
        work: Path,
    ) -> int:
        """Fit the calibration of a trained model to rows that it has not learned from; returns their number."""
        self._begin("calibrate")
        kept = HeldOutRows(work)
        new = pl.concat([chunk.frame for chunk in self._chunks(period, fitting)])
        kept.save(base.held_out, new, np.flatnonzero(fitting), period.name, base.periods + 1)
        (chunk,) = kept.chunks(kept.load())
        if not len(chunk.frame):
            return 0
        labels = {task: LabelColumn(task).encode(chunk.frame[task]) for task in model.schema.task_names}
        model.calibrate(score(model, transforms, [chunk], self._settings.batch_size).predictions, labels)
        return len(chunk.frame)

    def _profile(
        self, model: RankingModel, transforms: TableTransforms, period: Period, held: np.ndarray, work: Path
    ) -> None:
        """Write the profile of rows that the model has not learned from, or of others where those are few."""
        self._begin("profile")
        order = uniform_numbers(np.arange(len(held)), step_seed(self._seed, _PROFILE)) - held
        chosen = np.zeros(len(held), bool)
        chosen[np.argsort(order)[:PROFILE_ROWS]] = True
        chunks = self._chunks(period, chosen)
        profile = period_profile(model, transforms, chunks, self._settings.batch_size, self._settings.user)
        if profile is not None:
            profile.save(work / PROFILE_FILE)

    @property
    def _users(self) -> list[str]:
        return [] if self._settings.user is None else [self._settings.user]

    def _chunks(self, period: Period, chosen: np.ndarray) -> Iterator[Chunk]:
        for chunk in self._rows.chunks(period, self._users):
            yield chunk.of(chosen[chunk.numbers])

    def _begin(self, part: str) -> None:
        self.end()
        self._part = part
        self._tell(part)

    def end(self) -> None:
        """Note how long the part took that began last."""
        now = time.perf_counter()
        if self._part:
            self.seconds[self._part] = self.seconds.get(self._part, 0.0) + now - self._began
        self._part, self._began = "", now


def pseudo_label_columns(model: RankingModel) -> dict[str, str]:
    """Target column of each task's pseudo-labels, if the model learns from yesterday's predictions.

    Args:
        model: a model, with residual learning or without.

    Raises:
        ValueError: if it wants pseudo-labels that a run does not have.
    """
    learning = getattr(model, "residual_learning", None)
    if learning is None or learning.teacher == "self" or isinstance(learning.teacher, keras.Model):
        return {}
    if learning.teacher != "yesterday":
        raise ValueError(
            "The pseudo-labels of a log's periods are the predictions of yesterday's model: "
            f'ResidualLearning(teacher="yesterday"). Received: teacher={learning.teacher!r}.'
        )
    return {task: learning.column(task) for task in model.schema.task_names if learning.concerns(task)}
