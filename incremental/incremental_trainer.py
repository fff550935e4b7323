"""Trains a model period by period on a log that goes on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..datasets import TableDescription, TableTransforms
from ..files import RunFolder, run_lock, whole_folder
from ..models import RankingModel, grow
from ..reports import GateRule
from .late_labels import LateLabels
from .ledger import ADMITTED, GIVEN_ROOM, REFUSED, ROLLED_BACK, WAITING, Entry, Ledger
from .model_files import load_model, save_model
from .period import Period
from .period_rows import PeriodRows
from .period_step import Base, PeriodStep
from .publication import Publication
from .replay import Replay
from .run_identity import run_identity
from .settings import Settings

_OUTCOME, _PREDICTIONS = "outcome.json", "predictions.npz"


class IncrementalTrainer:
    """Trains a model period by period: yesterday's model is the start, the judge and the teacher of today's.

    For each period, such as a day,

    1. yesterday's model predicts its rows before anything is learned from them. This is the **progressive validation**
       (NE, calibration, AUC and cross entropy by task), and with `ResidualLearning(teacher="yesterday")` the same
       predictions are the period's pseudo-labels;
    2. the transforms are extended by its tokens (`growing` columns) and the tables of the model follow;
    3. the model is trained on its rows, from yesterday's weights, codebooks and optimizer;
    4. the gate holds today's model against yesterday's on a share of the rows that was not trained. A model that is
       clearly worse is refused: it is kept for inspection, and tomorrow goes on from yesterday's;
    5. today's model is exported as the next version for TF Serving, with its lineage beside it.

    A model that was not trained before has nothing to predict: in the first period there is no progressive validation,
    no gate, and no pseudo-label, so that its residual and distillation losses are 0. Rows that are replayed, and those
    with late labels, have no pseudo-labels either, since yesterday's model was trained on them.

    **The run folder** has a ledger with an entry a finished step, and a folder for each step with its model (optimizer
    included), its transforms and yesterday's predictions. A process that was killed, at whatever moment, is replaced by
    one that makes the same calls: it goes on with the step that was interrupted, and ends with the weights, the ledger
    and the published versions of a run that was not killed. The model and the transforms given to it are used for the
    first step of a run alone.

    **Refused**, before anything is written: rows of an earlier period, a gap between periods, a file that lacks a
    column or whose values cannot be what they are described as, other settings than those of the folder, and a second
    process.

    **A period without labels** is scored and waits. Later periods do not wait for it: they are trained when they come.
    Once the labels are there, `step` or `run` trains it, judged by and taught by the predictions made when it came. For
    labels of single rows that arrive late see `LateLabels`.

    Args:
        model: a compiled `CTRModel` or `CVRModel`, trained or not.
        transforms: its transforms, such as those of `fit_transforms`.
        description: what the columns of the log are: a `TableDescription` or the path of its YAML file.
        folder: the run folder.
        export: the folder of versions for TF Serving, `saved_models/NAME`. Defaults to `None`: nothing is published.
        batch_size: rows per step of the optimizer. Defaults to 4096.
        epochs: passes over the rows of a period. Defaults to 1.
        replay: how many rows of earlier periods are trained along with a period's, as a share of these. Defaults to 0.
        held_out: share of a period's rows that are not trained but decide at the gate. Defaults to 0.05.
        gate: rules that today's model must not break (see `gr.reports.check_gate`); without any, every model is
            admitted and all rows are trained. Defaults to none by which any task loses more than 1 % of NE.
        late_weight: weight of rows with late labels. Defaults to 1.0.
        user: column of the log that says whose rows they are; the gate's intervals are then those of users. Defaults to
            `None`.
        seed: of everything random. Defaults to 0.
        allow_gaps: whether periods may be missing. Defaults to `False`.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: rows of a period that do not fit the description and may be skipped. Defaults to 0.
        on_progress: called with the part of the work that begins (`"score"`, `"extend"`, `"train"`, `"judge"`,
            `"save"`, `"publish"`, `"record"`) and the name of the period.

    Raises:
        ValueError: on settings out of range, or a folder of a run with other settings; says which.
        RuntimeError: if another process works in the folder.

    Example:

    ```python
    days = gr.incremental.periods("clicks")
    transforms = gr.incremental.fit_transforms("clicks.yaml", days[:7])
    model = gr.models.CTRModel(transforms.schema, residual_learning=gr.models.ResidualLearning(teacher="yesterday"))
    model.compile()
    trainer = gr.incremental.IncrementalTrainer(
        model, transforms, "clicks.yaml", folder="runs/clicks", export="saved_models/clicks"
    )
    for entry in trainer.run(days):
        print(entry["period"], entry["status"], entry["progressive"])
    ```

    Reference:
        He et al. 2014, *Practical Lessons from Predicting Clicks on Ads at Facebook*; McMahan et al. 2013, *Ad Click
        Prediction: a View from the Trenches*, §5.1 (progressive validation).
    """

    def __init__(
        self,
        model: RankingModel,
        transforms: TableTransforms,
        description: TableDescription | str | Path,
        folder: str | Path,
        *,
        export: str | Path | None = None,
        batch_size: int = 4096,
        epochs: int = 1,
        replay: float = 0.0,
        held_out: float = 0.05,
        gate: Sequence[GateRule] = (GateRule(max_loss=1.0),),
        late_weight: float = 1.0,
        user: str | None = None,
        seed: int = 0,
        allow_gaps: bool = False,
        chunk_rows: int = 100_000,
        max_bad_rows: int = 0,
        on_progress: Callable[[str, str], None] | None = None,
    ) -> None:
        if not isinstance(description, TableDescription):
            description = TableDescription.read(description)
        self.folder = Path(folder)
        self._settings = Settings(batch_size, epochs, replay, held_out, tuple(gate), late_weight, user, seed)
        self._rows = PeriodRows(description, chunk_rows, max_bad_rows)
        self._publication = None if export is None else Publication(Path(export))
        self._allow_gaps = allow_gaps
        self._on_progress = on_progress or (lambda part, period: None)
        # The model in memory, with the step that made it.
        self._live: tuple[int, RankingModel, TableTransforms] | None = None
        with run_lock(self.folder):
            RunFolder(self.folder, {**self._settings.to_dict(), **run_identity(model, transforms, description)})
            self._ledger = Ledger(self.folder / "ledger")
            if self._publication is not None:
                self._publication.check(self._ledger.next_step)
            if not self._step_folder(0).is_dir():
                with whole_folder(self._step_folder(0)) as work:
                    save_model(work, model, transforms)

    @property
    def ledger(self) -> list[Entry]:
        """The entries of all finished steps, oldest first.

        Each has `step`, `status` (`"admitted"`, `"refused"`, `"waiting"`, `"rolled back"` or `"given room"`), `period`,
        `rows`, `parent` (the step whose model it went on from), `base` (the step whose model the next one goes on
        from), `progressive` (figures of yesterday's model by prediction), `unknown` (share of unknown tokens by
        feature), `growth`, `late`, `gate`, `published` (a version, or `None`) and `seconds`.
        """
        return [dict(entry) for entry in self._ledger.entries]

    def run(self, periods: Sequence[Period], late: Mapping[str, Sequence[LateLabels]] | None = None) -> list[Entry]:
        """Train all periods that are new, and those that waited for labels and have them now.

        Args:
            periods: the log so far, in order; periods that were trained before are passed over.
            late: labels of earlier periods, by the name of the period with which they are trained. Defaults to `None`.

        Returns:
            The ledger's entries of the steps made here.

        Raises:
            ValueError: if a period is not the next one, or does not fit the description. Steps before it are kept.
        """
        made = []
        with self._locked():
            for period in periods:
                known = self._ledger.of(period)
                if known is None or (known["status"] == WAITING and self._rows.has_labels(period)):
                    made.append(self._step(period, (late or {}).get(period.name, ()), None))
                else:
                    self._ledger.check_unchanged(period)
        return made

    def step(self, period: Period, late: Sequence[LateLabels] = (), held_out: Period | None = None) -> Entry:
        """Train one period.

        Args:
            period: the next period, or one that waited for its labels.
            late: labels of earlier periods, trained along with it. Defaults to `()`.
            held_out: rows to judge by at the gate. Defaults to `None`: a share of the period's rows.

        Returns:
            Its entry in the ledger.

        Raises:
            ValueError: if it is not the next one, or does not fit the description; nothing is then written.
        """
        with self._locked():
            return self._step(period, late, held_out)

    def rollback(self, version: int) -> Entry:
        """Make an earlier version the model that the next period goes on from, and publish it as the newest version.

        The log is not trained again: the next period is the one after the newest.

        Args:
            version: number of the step that made it; one that the gate refused can be taken, too.

        Returns:
            The entry in the ledger.

        Raises:
            ValueError: if there is no such version.
        """
        with self._locked():
            self._ledger.version(version)
            entry: Entry = {
                "step": self._ledger.next_step,
                "status": ROLLED_BACK,
                "parent": self._ledger.base,
                "base": version,
                "seconds": {},
            }
            with whole_folder(self._step_folder(entry["step"])) as work:
                (work / _OUTCOME).write_text(json.dumps(entry), encoding="utf-8")
            return self._record()

    def give_room(self, capacities: Mapping[str, int]) -> Entry:
        """Let tables of `growing` columns hold more tokens from the next period on; what was learned stays as it is.

        Args:
            capacities: the new capacity of each feature, larger than before (see `TableTransforms.with_capacity`).

        Returns:
            The entry in the ledger, with status `"given room"`. The next period's version is the first with the room.

        Raises:
            ValueError: if a feature does not grow, or its capacity would not.
        """
        with self._locked():
            number, base = self._ledger.next_step, self._base()
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
                Replay(self._settings.replay).keep(work, base.replayed)
                (work / _OUTCOME).write_text(json.dumps(entry), encoding="utf-8")
            return self._record()

    def load(self, step: int | None = None) -> tuple[RankingModel, TableTransforms]:
        """The model and the transforms that a step made, admitted or refused.

        Args:
            step: its number, 0 for the model that the run began with. Defaults to `None`, the base of the next step.
        """
        return load_model(self._step_folder(self._ledger.base if step is None else step), self._settings.seed)

    def predictions(self, period: str) -> dict[str, np.ndarray]:
        """What yesterday's model predicted for the rows of a period, by prediction; nothing where it was untrained.

        Args:
            period: name of the period.
        """
        entry = next((e for e in reversed(self._ledger.entries) if e.get("period") == period), None)
        if entry is None:
            raise ValueError(f"The run has not seen a period {period!r}.")
        with np.load(self._step_folder(entry["step"]) / _PREDICTIONS) as saved:
            return {name: saved[name] for name in saved.files}

    # === A step ===

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in the folder, with what others did there meanwhile, and with the interrupted step recorded."""
        with run_lock(self.folder):
            self._ledger = Ledger(self.folder / "ledger")
            if (self._step_folder(self._ledger.next_step) / _OUTCOME).is_file():
                self._record()
            yield

    def _step(self, period: Period, late: Sequence[LateLabels], held_out: Period | None) -> Entry:
        waited = self._ledger.of(period)
        if waited is None or waited["status"] != WAITING:
            waited = None
            self._ledger.check_order(period, self._allow_gaps)
        then = [(labels, self._predictions_then(labels)) for labels in late]
        number, base = self._ledger.next_step, self._base()
        step = PeriodStep(self._rows, self._settings, number, lambda part: self._on_progress(part, period.name))
        live, self._live = self._live, None
        with whole_folder(self._step_folder(number)) as work:
            scores = step.score(base, period, predict=base.trained and waited is None)
            if waited is not None:
                scores = scores.with_predictions(self.predictions(period.name), period.name)
            np.savez(work / _PREDICTIONS, **scores.predictions)  # type: ignore[arg-type]
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
                model, transforms, said = step.train(base, period, scores, work, then, held_out, fresh=waited is None)
                admitted = said["gate"] is None or said["gate"]["passed"]
                entry |= {"status": ADMITTED if admitted else REFUSED, "base": number if admitted else base.step}
                entry |= {"progressive": scores.metrics(), "periods": base.periods + 1, **said}
                save_model(work, model, transforms)
                # A model that took another place in memory is read from its file, as after a kill.
                live = (number, model, transforms) if admitted and model is base.model else None
            elif not base.trained:
                raise ValueError(f"Period {period.name} has no labels, and there is no trained model to score it.")
            step.end()
            (work / _OUTCOME).write_text(json.dumps({**entry, "seconds": step.seconds}), encoding="utf-8")
        self._live = live
        return self._record()

    def _base(self) -> Base:
        number = self._ledger.base
        if self._live is None or self._live[0] != number:
            self._live = (number, *self.load(number))
        folder = self._step_folder(number)
        periods = next((e["periods"] for e in self._ledger.entries if e["step"] == number), 0)
        return Base(*self._live, periods, Replay(self._settings.replay).load(folder))

    def _record(self) -> Entry:
        """Publish what a finished step made, and write its entry."""
        number = self._ledger.next_step
        entry = json.loads((self._step_folder(number) / _OUTCOME).read_text(encoding="utf-8"))
        entry["published"] = None
        period = entry.get("period", "")
        if self._publication is not None and entry["status"] in (ADMITTED, ROLLED_BACK):
            self._on_progress("publish", period)
            base = entry["base"]
            live = self._live
            model, transforms = live[1:] if live is not None and live[0] == base else self.load(base)
            lineage = {name: value for name, value in entry.items() if name not in ("seconds", "published")}
            self._publication.publish(number, model, transforms, lineage)
            entry["published"] = number
        self._on_progress("record", period)
        self._ledger.add(entry)
        return dict(entry)

    def _predictions_then(self, late: LateLabels) -> dict[str, np.ndarray] | None:
        known = self._ledger.of(late.period)
        if known is None or known["status"] == WAITING:
            said = "was not seen yet" if known is None else "still waits for labels: give its own step its labels"
            raise ValueError(f"Late labels are for an earlier period that was trained. {late.period.name} {said}.")
        return self.predictions(late.period.name) or None

    def _step_folder(self, step: int) -> Path:
        return self.folder / "steps" / f"{step:06d}"
