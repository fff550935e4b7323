"""The paper's Table 1 on public data, with controls, intervals and segments.

`python -m grouprank.recipes.table1 --data DIR` (KuaiRand-Pure) or `--synthetic`

First the settings of the baseline are chosen on the validation days, then with as many trials those of the candidate.
Then every row is trained under the same seeds, and the test days are read once. Alternatives of the defaults are
measured on the validation days. A killed run continues where it stopped.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from ..datasets import PreparedTable, prepare
from ..files import RunFolder, run_lock
from ..reports.terminal import Terminal
from .command import run_command
from .paired_study import Job, Training, Variant, run_variants
from .paired_study.matched_width import matched_width
from .paired_study.study_data import StudyData, kuairand, synthetic
from .paired_study.study_sums import study_sums
from .paired_study.table1_page import Table1, write_table1
from .paired_study.table1_rows import BOTH, ablations, controls, headline
from .paired_study.tuning import Trial, draw_choices, tune

# The baseline's settings before they are tuned.
START = Training(backbone="mlp", embedding_dim=8, dropout=0.3, embedding_l2=1e-3, batch_size=1024, epochs=2)
_RESIDUAL = ("weight", "distillation_weight", "reading")
_SETTINGS = {field.name for field in dataclasses.fields(Training)}
_NOT_GROUPS = (*_RESIDUAL, "teacher", "self_supervision")


def main(
    data: Annotated[Path | None, typer.Option("--data", help="Folder with KuaiRand-Pure's official files.")] = None,
    made_up: Annotated[bool, typer.Option("--synthetic", help="The generated log with planted groups.")] = False,
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the generated log.")] = 200_000,
    run: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/table1-DATA.", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Paired seeds of Table 1 and its controls.")] = 20,
    budget: Annotated[int, typer.Option(min=1, help="Trials of the baseline, and as many of the candidate.")] = 24,
    tuning_seeds: Annotated[int, typer.Option(min=1, help="Seeds of a trial.")] = 3,
    ablation_seeds: Annotated[int, typer.Option(min=0, help="Paired seeds of the other tables; 0 for none.")] = 6,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one core each.")] = 1,
    output: Annotated[Path, typer.Option(help="Where the page goes, as table1-DATA.md and .html.")] = Path("docs"),
) -> None:
    """Measure group structure learning and residual learning against a tuned baseline."""
    if (data is None) != made_up:
        raise typer.BadParameter("Give either --data DIR or --synthetic.")
    study = synthetic(rows) if data is None else kuairand(data)
    folder = run or Path("runs") / f"table1-{study.name}"
    # The choices depend on these settings; seeds may be added to a study or left out of it.
    tuned = {"budget": budget, "tuning_seeds": tuning_seeds, "space": study.space, "candidates": study.candidates}
    made = {} if data else {"rows": rows}
    with run_lock(folder):
        RunFolder(folder, {"data": study.name, **made, "backend": keras.backend.backend(), **tuned})
        counts = {"seeds": seeds, "budget": budget, "tuning_seeds": tuning_seeds, "ablation_seeds": ablation_seeds}
        console = Terminal(soft_wrap=True)
        table = prepare(study.dataset, folder / "prepared")
        runner = _Runner(study, table, folder, workers, console)
        trials = runner.tune_baseline(budget, tuning_seeds)
        training = trials[0].variant.settings(START)
        candidates = runner.tune_candidate(training, budget, tuning_seeds)
        groups, residual, teacher, replaced = _parts(candidates[0].variant)
        variants = headline(groups, residual, teacher, replaced)
        width = matched_width(variants[-1], table.schema, training)
        variants += controls(groups, residual, teacher, width, replaced)
        jobs = [Job(variant, tuple(range(seeds)), "test") for variant in variants]
        runner.run(jobs, training)
        others = {}
        if ablation_seeds:
            for title, choices in ablations(groups, residual, teacher, replaced).items():
                named = [variants[0], *choices]
                part = [Job(variant, tuple(range(100, 100 + ablation_seeds)), "validation") for variant in named]
                runner.run(part, training)
                others[title] = study_sums(part, table, runner.predictions(training), study.user)
        found = Table1(study, table, training, trials, candidates, jobs, others, runner.predictions(training))
        options = f"--synthetic --rows {rows}" if data is None else f"--data {data}"
        settings = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in counts.items())
        for page in write_table1(
            found, BOTH, output, f"python -m grouprank.recipes.table1 {options} {settings}", folder
        ):
            console.print(f"written: {page}")


def _parts(variant: Variant) -> tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]:
    """Arguments of groups and of residual learning, the teacher, and settings of its own, of a tuned candidate."""
    groups = next(iter((variant.groups or {}).values()))
    return dict(groups), dict(variant.residual or {}), variant.teacher, dict(variant.training or {})


@dataclasses.dataclass(frozen=True)
class _Runner:
    study: StudyData
    table: PreparedTable
    folder: Path
    workers: int
    console: Terminal

    def tune_baseline(self, budget: int, seeds: int) -> list[Trial]:
        choices = draw_choices(self.study.space, budget)
        variants = [Variant(f"baseline-trial-{number}", training=choice) for number, choice in enumerate(choices)]
        return self._tune(variants, START, seeds, "baseline")

    def tune_candidate(self, training: Training, budget: int, seeds: int) -> list[Trial]:
        variants = []
        for number, choice in enumerate(draw_choices(self.study.candidates, budget)):
            residual = {name: choice[name] for name in _RESIDUAL}
            if choice["teacher"] == "self":
                # A model's own prediction gives it nothing to distil.
                residual["distillation_weight"] = 0.0
            groups = {name: value for name, value in choice.items() if name not in _NOT_GROUPS}
            groups |= choice.get("self_supervision", {})
            replaced = {name: groups.pop(name) for name in _SETTINGS & groups.keys()}
            row = headline(groups, residual, choice["teacher"], replaced)[-1]
            variants.append(dataclasses.replace(row, name=f"candidate-trial-{number}"))
        return self._tune(variants, training, seeds, "candidate")

    def _tune(self, variants: Sequence[Variant], training: Training, seeds: int, what: str) -> list[Trial]:
        chosen = range(200, 200 + seeds)
        place, ids = self.predictions(training), self.study.ids
        trials = tune(variants, self.table.folder, training, place, ids, chosen, self.workers, self.console.print)
        best = trials[0]
        self.console.print(f"{what}: the best of {len(trials)} trials is {best.variant.name}, score {best.score:.5f}")
        return trials

    def run(self, jobs: Sequence[Job], training: Training) -> None:
        place, ids = self.predictions(training), self.study.ids
        run_variants(jobs, self.table.folder, training, place, ids, self.workers, self.console.print)

    def predictions(self, training: Training) -> Path:
        """Folder of the predictions under these settings, which are never mixed with those of other settings."""
        named = "-".join(f"{value}" for value in training.record().values())
        return self.folder / "predictions" / named


if __name__ == "__main__":
    run_command(main)
