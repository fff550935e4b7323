"""What the steps of a run write into its folder, and how they are recorded."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..files import RunFolder, run_lock, whole_folder
from ..models import RankingModel, grow
from .held_out_rows import HeldOutRows
from .late_labels import LateLabels
from .ledger import ADMITTED, GIVEN_ROOM, REFUSED, ROLLED_BACK, WAITING, Entry, Ledger
from .model_files import has_model, load_model, remove_model, save_model
from .period import Period
from .period_rows import PeriodRows
from .period_step import PROFILE_FILE, Base, PeriodStep
from .publication import Publication
from .replay import Replay
from .settings import Settings

_OUTCOME, _PREDICTIONS = "outcome.json", "predictions.npz"


class Run:
    """A run folder, with a folder for each step and a ledger.

    A step writes all that it makes into a folder that appears whole. Only then it is published and entered into the
    ledger. A process that was killed in between leaves a step that is finished and not recorded, which `locked`
    records.

    Args:
        folder: the run folder.
        settings: how to train.
        rows: what reads periods.
        publication: where versions go, or `None`.
        allow_gaps: whether periods may be missing.
        keep: number of the newest models that stay beside the base of the next step, `None` for all.
        on_progress: called with each part of the work and the name of the period, or `None`.

    Example:

    See `IncrementalTrainer`.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        rows: PeriodRows,
        publication: Publication | None,
        allow_gaps: bool,
        keep: int | None,
        on_progress: Callable[[str, str], None] | None,
    ) -> None:
        self.folder, self._settings, self._rows = folder, settings, rows
        self._publication, self._allow_gaps, self._keep = publication, allow_gaps, keep
        self._on_progress = on_progress or (lambda part, period: None)
        # The model in memory, with the step that made it.
        self._live: tuple[int, RankingModel, TableTransforms] | None = None

    def open(self, identity: Mapping[str, Any], model: RankingModel, transforms: TableTransforms) -> None:
        """Begin the run, or find it as it was left.

        Args:
            identity: what must not change.
            model: the model that a new run begins with.
            transforms: its transforms.
        """
        with run_lock(self.folder):
            RunFolder(self.folder, identity)
            self.ledger = Ledger(self.folder / "ledger")
            if self._publication is not None:
                self._publication.check(self.ledger.next_step)
            if not self._step_folder(0).is_dir():
                with whole_folder(self._step_folder(0)) as work:
                    save_model(work, model, transforms)

    @contextmanager
    def locked(self) -> Iterator[Ledger]:
        """Alone in the folder, with what others did there meanwhile, and with the interrupted step recorded."""
        with run_lock(self.folder):
            self.ledger = Ledger(self.folder / "ledger")
            if (self._step_folder(self.ledger.next_step) / _OUTCOME).is_file():
                self._record()
            yield self.ledger
            # Once more, for a process that was killed before it had removed all.
            self._remove_old_models()

    # `step`, `rollback` and `give_room` are called inside `locked`.

    def step(self, period: Period, late: Sequence[LateLabels], held_out: Period | None) -> Entry:
        """Train a period and record it (see `IncrementalTrainer.step`)."""
        waited = self.ledger.of(period)
        if waited is None or waited["status"] != WAITING:
            waited = None
            self.ledger.check_order(period, self._allow_gaps)
        then = [(labels, self._predictions_then(labels)) for labels in late]
        number, base = self.ledger.next_step, self._base()
        step = PeriodStep(self._rows, self._settings, number, lambda part: self._on_progress(part, period.name))
        live, self._live = self._live, None
        with whole_folder(self._step_folder(number)) as work:
            scores = step.score(base, period, predict=base.trained and waited is None)
            if waited is not None:
                scores = scores.with_predictions(self.predictions(period.name), period.name)
            np.savez(work / _PREDICTIONS, **dict[str, Any](scores.predictions))
            entry: Entry = {
                "step": number,
                "status": WAITING,
                "period": period.name,
                "place": period.place,
                "rows": scores.rows,
                "counted_rows": period.rows,
                "parent": base.step,
                "base": base.step,
                "scored_by": waited["scored_by"] if waited else base.step if scores.predictions else None,
                "unknown": scores.unknown,
                "progressive": None,
            }
            if scores.labelled:
                fresh, profiled = waited is None, self._publication is not None
                model, transforms, said = step.train(base, period, scores, work, then, held_out, fresh, profiled)
                admitted = said["gate"] is None or said["gate"]["passed"]
                entry |= {"status": ADMITTED if admitted else REFUSED, "base": number if admitted else base.step}
                entry |= {"progressive": scores.metrics(), "periods": base.periods + 1, **said}
                save_model(work, model, transforms)
                # A model that took another place in memory is read from its file, as after a kill.
                live = (number, model, transforms) if admitted and model is base.model else None
            elif not base.trained:
                raise ValueError(
                    f"Period {period.name} has no labels, and there is no trained model to score it. Begin with a "
                    "period that has labels, or with a model that was trained before."
                )
            step.end()
            (work / _OUTCOME).write_text(json.dumps({**entry, "seconds": step.seconds}), encoding="utf-8")
        self._live = live
        return self._record()

    def rollback(self, version: int) -> Entry:
        """Record an earlier version as the next base (see `IncrementalTrainer.rollback`)."""
        if version not in self.ledger.versions:
            raise ValueError(f"The run has no version {version!r}. It has: {self.ledger.versions}.")
        self._check_kept(version)
        entry: Entry = {
            "step": self.ledger.next_step,
            "status": ROLLED_BACK,
            "parent": self.ledger.base,
            "base": version,
            "seconds": {},
        }
        with whole_folder(self._step_folder(entry["step"])) as work:
            (work / _OUTCOME).write_text(json.dumps(entry), encoding="utf-8")
        return self._record()

    def give_room(self, capacities: Mapping[str, int]) -> Entry:
        """Record a larger model as the next base (see `IncrementalTrainer.give_room`)."""
        number, base = self.ledger.next_step, self._base()
        transforms = base.transforms.with_capacity(capacities)
        self._live = None
        model = grow(base.model, transforms.schema, seed=number)
        entry: Entry = {
            "step": number,
            "status": GIVEN_ROOM,
            "parent": base.step,
            "base": number,
            "periods": base.periods,
            "capacities": dict(capacities),
            "seconds": {},
        }
        with whole_folder(self._step_folder(number)) as work:
            save_model(work, model, transforms)
            Replay(work, self._settings.replay).keep(base.replayed)
            HeldOutRows(work).keep(base.held_out)
            if (profile := self._step_folder(base.step) / PROFILE_FILE).is_file():
                shutil.copy(profile, work)
            (work / _OUTCOME).write_text(json.dumps(entry), encoding="utf-8")
        return self._record()

    def load(self, step: int) -> tuple[RankingModel, TableTransforms]:
        """The model and the transforms that a step made."""
        if step not in (made := [0, *self.ledger.versions]):
            raise ValueError(f"Step {step!r} made no model. Steps that made one: {made}.")
        self._check_kept(step)
        return self._saved_model(step)

    def predictions(self, period: str) -> dict[str, np.ndarray]:
        """What was predicted for a period when it came (see `IncrementalTrainer.predictions`)."""
        entry = next((e for e in reversed(self.ledger.entries) if e.get("period") == period), None)
        if entry is None:
            raise ValueError(f"The run has not seen a period {period!r}.")
        with np.load(self._step_folder(entry["step"]) / _PREDICTIONS) as saved:
            return {name: saved[name] for name in saved.files}

    def _base(self) -> Base:
        number = self.ledger.base
        if self._live is None or self._live[0] != number:
            self._live = (number, *self._saved_model(number))
        folder = self._step_folder(number)
        periods = next((e["periods"] for e in self.ledger.entries if e["step"] == number), 0)
        return Base(*self._live, periods, Replay(folder, self._settings.replay).load(), HeldOutRows(folder).load())

    def _record(self) -> Entry:
        """Publish what a finished step made, and write its entry."""
        number = self.ledger.next_step
        entry = json.loads((self._step_folder(number) / _OUTCOME).read_text(encoding="utf-8"))
        entry["published"] = None
        period = entry.get("period", "")
        if self._publication is not None and entry["status"] in (ADMITTED, ROLLED_BACK):
            self._on_progress("publish", period)
            base = entry["base"]
            live = self._live
            model, transforms = live[1:] if live is not None and live[0] == base else self._saved_model(base)
            lineage = {name: value for name, value in entry.items() if name not in ("seconds", "published")}
            # Steps of a run that published nothing have no profile.
            profile = self._step_folder(base) / PROFILE_FILE
            reference = json.loads(profile.read_text(encoding="utf-8")) if profile.is_file() else None
            self._publication.publish(number, model, transforms, lineage, reference)
            entry["published"] = number
        self._on_progress("record", period)
        self.ledger.add(entry)
        self._remove_old_models()
        return dict(entry)

    def _remove_old_models(self) -> None:
        """Remove the models that are not kept, with the rows that only the step after them would read."""
        if self._keep is None:
            return
        made = [0, *self.ledger.versions]
        for step in {*made[: -self._keep]} - {self.ledger.base}:
            folder = self._step_folder(step)
            remove_model(folder)
            for path in folder.iterdir():
                if path.name not in (_OUTCOME, _PREDICTIONS):
                    path.unlink()

    def _check_kept(self, step: int) -> None:
        if not has_model(self._step_folder(step)):
            kept = [made for made in (0, *self.ledger.versions) if has_model(self._step_folder(made))]
            raise ValueError(
                f"The model of step {step} was removed, since the run was told to keep only the newest ones (`keep`). "
                f"It has those of the steps {kept}. Pass a larger `keep` to IncrementalTrainer, or None, and the "
                "models of later steps stay. A version that was published is still in its export folder."
            )

    def _saved_model(self, step: int) -> tuple[RankingModel, TableTransforms]:
        return load_model(self._step_folder(step), self._settings.seed)

    def _predictions_then(self, late: LateLabels) -> dict[str, np.ndarray] | None:
        known = self.ledger.of(late.period)
        if known is None or known["status"] == WAITING:
            said = "was not seen yet" if known is None else "still waits for labels: give its own step its labels"
            raise ValueError(f"Late labels are for an earlier period that was trained. {late.period.name} {said}.")
        return self.predictions(late.period.name) or None

    def _step_folder(self, step: int) -> Path:
        return self.folder / "steps" / f"{step:06d}"
