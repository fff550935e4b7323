"""Models that meet a log day by day and differ in what they do with its new days and ids."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableDescription, TableTransforms
from ..files import RunFolder, whole_folder
from ..incremental import IncrementalTrainer, Period, fit_transforms
from ..incremental.period_rows import PeriodRows
from ..incremental.scores import Scores, score
from ..models.group_placements import PLACEMENTS
from .daily_drift import Drift, measure_drift
from .daily_log import with_ids
from .daily_settings import DailySettings

VARIANTS = ("aged", "frozen", "growing", "hashed", "retrained")
# What is counted as training: new ids, and passes over the rows.
_TRAINING = ("extend", "train")


@dataclasses.dataclass(frozen=True)
class Day:
    """A day as the variants met it before they trained on it.

    Args:
        name: its date.
        age: days since the aged model was trained, from 1 on.
        frame: labels by task, `VARIANT:TASK` predictions, `user`, and `unseen`: whether an id of the row did not occur
            in the first days.
        seconds: training seconds of the variants that learned it.
    """

    name: str
    age: int
    frame: pl.DataFrame
    seconds: dict[str, float]


class DailyVariants:
    """Trains the variants in a run folder; a call after a kill goes on where the last one stopped.

    `growing`, `frozen` and `hashed` train every day and differ in their ids. `aged` is the growing one as it was after
    the first days. `retrained` is a new model every day, trained on all earlier days as one period.

    Args:
        run: the run folder.
        days: the periods of the log.
        description: what its columns are.
        ids: the id columns that change their kind.
        user: column that says whose rows they are; `None` takes rows as independent.
        settings: of the training.
        on_progress: called with what is being done.
        max_bad_rows: malformed rows of a day that may be skipped. Defaults to 0.

    Raises:
        ValueError: if there is no day after the first ones.
    """

    def __init__(
        self,
        run: Path,
        days: Sequence[Period],
        description: TableDescription,
        ids: Sequence[str],
        user: str | None,
        settings: DailySettings,
        on_progress: Callable[[str], None],
        max_bad_rows: int = 0,
    ) -> None:
        if len(days) <= settings.first_days:
            raise ValueError(
                f"The log has {len(days)} days, and {settings.first_days} of them are the first ones. There must be a "
                "day after them: pass a smaller --first-days, or a longer log."
            )
        self._run, self._days, self._ids, self._user = run, list(days), list(ids), user
        self._settings, self._tell, self._max_bad_rows = settings, on_progress, max_bad_rows
        self._described = {how: with_ids(description, ids, how, settings.capacity) for how in VARIANTS[1:4]}
        self._rows = PeriodRows(self._described["growing"], max_bad_rows=max_bad_rows)
        RunFolder(run, {"backend": keras.backend.backend(), "ids": self._ids, **dataclasses.asdict(settings)})

    @property
    def later(self) -> list[Period]:
        """The days after the first ones."""
        return self._days[self._settings.first_days :]

    def train_daily(self, ids: str) -> IncrementalTrainer:
        """Train one of the variants that go on every day.

        Args:
            ids: `"frozen"`, `"growing"` or `"hashed"`.
        """
        trainer = self._trainer(ids, self._days[: self._settings.first_days], self._run / ids)
        known = {entry["period"] for entry in trainer.ledger}
        for day in self._days:
            self._tell(f"{ids}: {day.name}")
            if day.name not in known:
                trainer.step(day)
        return trainer

    def _trainer(self, ids: str, fitted: Sequence[Period], folder: Path, groups: bool = False) -> IncrementalTrainer:
        described, settings = self._described[ids], self._settings
        transforms = fit_transforms(described, fitted, max_bad_rows=self._max_bad_rows)
        known = [p for p, sides in PLACEMENTS.items() if all(transforms.schema.on_side(side) for side in sides)]
        return IncrementalTrainer(
            settings.model(transforms, **({"group_structure": known} if groups else {})),
            transforms,
            described,
            folder,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            gate=(),
            seed=settings.seed,
            allow_gaps=True,
            max_bad_rows=self._max_bad_rows,
        )

    def days(self, trainers: dict[str, IncrementalTrainer]) -> list[Day]:
        """The later days with the predictions of all variants; the aged and the retrained model are asked here.

        Args:
            trainers: those of the daily variants, after the last day.
        """
        settings = self._settings
        aged = trainers["growing"].load(settings.first_days)
        seconds = {
            ids: {entry["period"]: training_seconds(entry) for entry in trainer.ledger}
            for ids, trainer in trainers.items()
        }
        seen = self._seen()
        found = []
        for age, day in enumerate(self.later, 1):
            scores = self._score(*aged, day)
            predictions = {"aged": scores.predictions}
            predictions |= {ids: trainer.predictions(day.name) for ids, trainer in trainers.items()}
            predictions["retrained"], retraining = self._retrained(settings.first_days + age - 1)
            users = pl.int_range(scores.rows, eager=True) if scores.users is None else scores.users
            columns: dict[str, Any] = {"user": users, "unseen": self._unseen(day, seen), **scores.labels}
            for variant, by_task in predictions.items():
                columns |= {f"{variant}:{task}": values for task, values in by_task.items()}
            trained = {ids: by_day[day.name] for ids, by_day in seconds.items()}
            found.append(Day(day.name, age, pl.DataFrame(columns), {**trained, "retrained": retraining}))
        return found

    def drift(self, growing: IncrementalTrainer) -> Drift:
        """The drift of the columns and of the groups of a model that was trained on the first days.

        It is the aged model. Where the preset has no groups, the same model with groups is trained for this alone.

        Args:
            growing: the trainer of the growing variant, after the last day.
        """
        first = self._settings.first_days
        model, transforms = growing.load(first)
        own = bool(model.group_concats)
        if not own:
            self._tell("groups: the first days")
            trainer = self._trainer("growing", self._days[:first], self._run / "groups", groups=True)
            trainer.run(self._days[:first])
            model, transforms = trainer.load()
        self._tell("drift")
        found = measure_drift(
            self._described["growing"],
            self._days,
            first,
            model,
            transforms,
            self._settings.batch_size,
            self._max_bad_rows,
        )
        return dataclasses.replace(found, own_groups=own)

    def _score(self, model: Any, transforms: TableTransforms, day: Period) -> Scores:
        extras = [] if self._user is None else [self._user]
        return score(model, transforms, self._rows.chunks(day, extras), self._settings.batch_size, self._user)

    def _retrained(self, number: int) -> tuple[dict[str, np.ndarray], float]:
        """Predictions of a new model for a day, trained on all days before it, and the seconds of its training."""
        day, before = self._days[number], self._days[:number]
        folder = self._run / "retrained" / day.name
        if not (folder / "predictions.npz").is_file():
            self._tell(f"retrained: {day.name}")
            together = Period(f"to {before[-1].name}", 0, tuple(file for one in before for file in one.files))
            folder.parent.mkdir(exist_ok=True)
            with whole_folder(folder) as work:
                began = time.perf_counter()
                trainer = self._trainer("growing", before, work / "run")
                fitting = time.perf_counter() - began
                entry = trainer.step(together)
                scores = self._score(*trainer.load(), day)
                np.savez(work / "predictions.npz", **dict[str, Any](scores.predictions))
                (work / "seconds.json").write_text(json.dumps(fitting + training_seconds(entry)), encoding="utf-8")
        with np.load(folder / "predictions.npz") as saved:
            predictions = {name: saved[name] for name in saved.files}
        return predictions, float(json.loads((folder / "seconds.json").read_text(encoding="utf-8")))

    def _tokens(self, day: Period) -> pl.DataFrame:
        """The id columns of a day as text, as they stand in its files."""
        raw = {column.name: column.raw_name for column in self._described["growing"].columns}
        names = list(dict.fromkeys(raw[name] for name in self._ids))
        frames = [chunk.extras for chunk in self._rows.chunks(day, names)]
        return pl.concat(frames).select(pl.all().cast(pl.String))

    def _seen(self) -> dict[str, pl.Series]:
        frame = pl.concat([self._tokens(day).unique() for day in self._days[: self._settings.first_days]])
        return {name: frame[name].unique() for name in frame.columns}

    def _unseen(self, day: Period, seen: dict[str, pl.Series]) -> pl.Series:
        tokens = self._tokens(day)
        known = [tokens[name].is_in(seen[name].implode()).fill_null(True) for name in tokens.columns]
        return pl.DataFrame(known).select(unseen=~pl.all_horizontal(pl.all()))["unseen"]


def training_seconds(entry: dict[str, Any]) -> float:
    """Seconds that a step took to give ids to new tokens and to train."""
    return sum(entry["seconds"][part] for part in _TRAINING)
