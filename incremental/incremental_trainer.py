"""Trains a model period by period on a log that goes on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..datasets import TableDescription, TableTransforms
from ..models import RankingModel
from ..reports import GateRule
from .late_labels import LateLabels
from .ledger import WAITING, Entry
from .period import Period
from .period_rows import PeriodRows
from .publication import Publication
from .run import Run
from .run_identity import run_identity
from .settings import Settings


class IncrementalTrainer:
    """Trains a model period by period: yesterday's model is the start, the judge and the teacher of today's.

    For each period, such as a day,

    1. yesterday's model predicts its rows before anything is learned from them. This is the **progressive validation**
       (NE, calibration, AUC and cross entropy by task), and with `ResidualLearning(teacher="yesterday")` the same
       predictions are the period's pseudo-labels;
    2. the transforms are extended by its tokens (`growing` columns) and the tables of the model follow;
    3. the model is trained on its rows, from yesterday's weights, codebooks and optimizer, and calibrated if it has
       calibration layers;
    4. the gate holds today's model against yesterday's on a share of the rows that was not trained. A model that is
       clearly worse is refused: it is kept for inspection, and tomorrow goes on from yesterday's;
    5. today's model is exported as the next version for TF Serving, with its lineage beside it.

    A model that was not trained before has nothing to predict: in the first period there is no progressive validation,
    no gate, and no pseudo-label, so that its residual and distillation losses are 0. Rows that are replayed, and those
    with late labels, have no pseudo-labels either, since yesterday's model was trained on them.

    **Calibration** (`CTRModel(calibration=True)`) is fitted anew after the training of each period, to what the new
    model predicts for rows that were never trained: half of the rows that the period holds out, and the same rows of
    the six periods before it, with the labels that arrived late. The other half of the period's decide at the gate, so
    that no row judges a map that was fitted to it.

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
        export: the folder of versions for TF Serving, `saved_models/NAME`. Each version holds a profile of the rows of
            its period, raw columns and scores, that `gr.reports.drift` compares with what it serves
            (`assets.extra/log_profile.json`). Defaults to `None`: nothing is published.
        full_every: each how many-th version is exported in full. The others are made of the version before and a delta,
            which is left in `deltas/VERSION` for servers elsewhere (see `gr.serving.export_delta`). A version whose
            graph is another one, as after `give_room`, is exported in full, too. Defaults to 1, all.
        batch_size: rows per step of the optimizer. Defaults to 4096.
        epochs: passes over the rows of a period. Defaults to 1.
        replay: how many rows of earlier periods are trained along with a period's, as a share of these. Defaults to 0.
        held_out: share of a period's rows that are not trained but decide at the gate. Of a model with calibration
            layers every period holds them out, and half of them calibrate it. Defaults to 0.05.
        gate: rules that today's model must not break (see `gr.reports.check_gate`); without any, every model is
            admitted and all rows are trained. Defaults to none by which any task loses more than 1 % of NE.
        late_weight: weight of rows with late labels. Defaults to 1.0.
        user: column of the log that says whose rows they are; the gate's intervals are then those of users. Defaults to
            `None`.
        seed: of everything random. Defaults to 0.
        allow_gaps: whether periods may be missing. Defaults to `False`.
        keep: number of the newest steps whose models stay in the run folder, beside the model that the next step goes
            on from. Those of older steps are removed, and can neither be loaded nor rolled back to; the predictions of
            all steps stay. Defaults to `None`, all.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: rows of a period that do not fit the description and may be skipped. Defaults to 0.
        negative_rate: share of the negatives that are trained, of all tasks or by task (see
            `gr.datasets.BatchLoader`). Rows that are predicted, held out or calibrate are never sampled. Defaults to
            `None`, all.
        recalibrate: what makes up for the negatives left out: `"loss"`, or `"logit"` for a model of the same
            `negative_rate`. Defaults to `"loss"`.
        on_progress: called with the part of the work that begins (`"score"`, `"extend"`, `"train"`,
            `"calibrate"`, `"judge"`, `"profile"`, `"save"`, `"publish"`, `"record"`) and the name of the period.
            Defaults to `None`.

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
        keep: int | None = None,
        full_every: int = 1,
        chunk_rows: int = 100_000,
        max_bad_rows: int = 0,
        negative_rate: float | Mapping[str, float] | None = None,
        recalibrate: str | None = "loss",
        on_progress: Callable[[str, str], None] | None = None,
    ) -> None:
        if not isinstance(description, TableDescription):
            description = TableDescription.read(description)
        self.folder = Path(folder)
        settings = Settings(
            batch_size, epochs, replay, held_out, tuple(gate), late_weight, user, seed, negative_rate, recalibrate
        )
        self._rows = PeriodRows(description, chunk_rows, max_bad_rows)
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ValueError(
                f"`keep` must be an integer of at least 1, or None for all models. Received: keep={keep!r}."
            )
        publication = None if export is None else Publication(Path(export), full_every)
        identity = {**settings.to_dict(), **run_identity(model, transforms, description)}
        settings.check_sampling(model)
        self._run = Run(self.folder, settings, self._rows, publication, allow_gaps, keep, on_progress)
        self._run.open(identity, model, transforms)

    @property
    def ledger(self) -> list[Entry]:
        """The entries of all finished steps, oldest first.

        Each has `step`, `status` (`"admitted"`, `"refused"`, `"waiting"`, `"rolled back"` or `"given room"`), `period`,
        `rows`, `parent` (the step whose model it went on from), `base` (the step whose model the next one goes on
        from), `progressive` (figures of yesterday's model by prediction), `unknown` (share of unknown tokens by
        feature), `growth`, `trained_rows`, `calibrated_rows`, `late` (for each `LateLabels` its `period`, its `rows`,
        how many of them are `held_out` and calibrate, and `metrics` of what was predicted for them), `gate`,
        `published` (a version, or `None`) and `seconds`.
        """
        return [dict(entry) for entry in self._run.ledger.entries]

    def run(self, periods: Sequence[Period], late: Mapping[str, Sequence[LateLabels]] | None = None) -> list[Entry]:
        """Train all periods that are new, and those that waited for labels and have them now.

        Args:
            periods: the log so far, in order; periods that were trained before are passed over.
            late: labels of earlier periods, by the name of the period with which they are trained. Defaults to `None`.

        Returns:
            The ledger's entries of the steps made here.

        Raises:
            ValueError: if a period is not the next one, or does not fit the description, where steps before it are
                kept; or if `late` names another period.
        """
        unknown = sorted(set(late or {}) - {period.name for period in periods})
        if unknown:
            raise ValueError(
                f"`late` has labels to train along with the periods {unknown}, which are not among `periods`. Name the "
                "new period to train them with, not the one whose rows they are."
            )
        made = []
        with self._run.locked() as ledger:
            for period in periods:
                known = ledger.of(period)
                if known is None or (known["status"] == WAITING and self._rows.has_labels(period)):
                    made.append(self._run.step(period, (late or {}).get(period.name, ()), None))
                else:
                    ledger.check_unchanged(period)
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
        with self._run.locked():
            return self._run.step(period, late, held_out)

    def rollback(self, version: int) -> Entry:
        """Make an earlier version the model that the next period goes on from, and publish it as the newest version.

        The log is not trained again: the next period is the one after the newest.

        Args:
            version: number of the step that made it; one that the gate refused can be taken, too.

        Returns:
            The entry in the ledger.

        Raises:
            ValueError: if there is no such version, or its model was removed (`keep`).
        """
        with self._run.locked():
            return self._run.rollback(version)

    def give_room(self, capacities: Mapping[str, int]) -> Entry:
        """Let tables of `growing` columns hold more tokens from the next period on; what was learned stays as it is.

        Args:
            capacities: the new capacity of each feature, larger than before (see `TableTransforms.with_capacity`).

        Returns:
            The entry in the ledger, with status `"given room"`. The next period's version is the first with the room.

        Raises:
            ValueError: if a feature does not grow, or its capacity would not.
        """
        with self._run.locked():
            return self._run.give_room(capacities)

    def load(self, step: int | None = None) -> tuple[RankingModel, TableTransforms]:
        """The model and the transforms that a step made, admitted or refused.

        Args:
            step: its number, 0 for the model that the run began with. Defaults to `None`, the base of the next step.

        Raises:
            ValueError: if the step made no model, or the model was removed (`keep`).
        """
        return self._run.load(self._run.ledger.base if step is None else step)

    def predictions(self, period: str) -> dict[str, np.ndarray]:
        """What yesterday's model predicted for the rows of a period, by prediction; nothing where it was untrained.

        Args:
            period: name of the period.
        """
        return self._run.predictions(period)
