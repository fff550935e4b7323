"""What the history of a user is worth on KuaiRand-Pure, by the layer that reads it.

`python -m grouprank.recipes.history_worth --data DIR --histories DIR`

Each reader's settings are chosen on the validation days (5 – 6 May 2022) among the same number of trials. Then all are
trained under the same seeds, and the test days (7 – 8 May) are read once. A killed run continues where it stopped.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from ..datasets import KuaiRandPure, PreparedTable, kuairand_histories, prepare
from ..files import RunFolder, run_lock, whole_file
from ..reports import GainTable, gain_table
from ..reports.markdown import markdown_table
from ..reports.terminal import Terminal
from ..schema import Schema
from .command import run_command
from .paired_study import Job, Training, Variant, run_variants
from .paired_study.study_sums import study_sums
from .paired_study.tuning import Trial, draw_choices, tune

START = Training(backbone="dcn_v2", dropout=0.3, embedding_l2=1e-3, batch_size=1024, epochs=2)
# The first of each is where the trials start.
SPACE: dict[str, list[Any]] = {"epochs": [2, 3], "embedding_l2": [1e-3, 3e-4], "dropout": [0.3, 0.1]}
NONE = "no history"
READERS: dict[str, dict[str, Any]] = {
    NONE: {},
    "mean": {"sequence_encoder": "mean"},
    "target_attention": {"sequence_encoder": "target_attention"},
    "causal_transformer": {"sequence_encoder": "causal_transformer"},
    "hstu": {"sequence_encoder": "hstu"},
    "backbone one_trans": {"backbone": "one_trans"},
}
_IDS = ("user_id", "video_id")
_USER = "user"
# Seeds of trials are none of those of the comparison.
_FIRST_TRIAL_SEED = 200


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder with KuaiRand-Pure's official files.")],
    histories: Annotated[
        Path | None, typer.Option(help="Folder with user_sequences.parquet, what lies before the log's first day.")
    ] = None,
    length: Annotated[int, typer.Option(min=1, help="Most videos of a history.")] = 50,
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/history_worth"),
    readers: Annotated[str, typer.Option(help="Readers, comma separated; empty for all.")] = "",
    seeds: Annotated[int, typer.Option(min=2, help="Paired seeds.")] = 5,
    budget: Annotated[int, typer.Option(min=1, max=8, help="Trials of each reader on the validation days.")] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one core each.")] = 1,
    output: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/histories.md"),
) -> None:
    """Compare models that read histories in several ways with one that does not read them."""
    console = Terminal(soft_wrap=True)
    chosen = readers_of(readers)
    log = kuairand_histories(KuaiRandPure(data, by_time=True), length, histories)
    with run_lock(run):
        earlier = None if histories is None else histories.name
        # Another number of trials may choose other settings, whose predictions must not stand beside these.
        tuned = {"start": START.record(), "space": SPACE, "budget": budget}
        RunFolder(run, {"length": length, "earlier": earlier, "backend": keras.backend.backend(), **tuned})
        table = prepare(log, run / "prepared")
        trials = {name: _tuned(name, table, run, budget, workers, console) for name in chosen}
        jobs = [
            Job(dataclasses.replace(best[0].variant, name=name), tuple(range(seeds)), "test")
            for name, best in trials.items()
        ]
        run_variants(jobs, table.folder, START, run / "predictions", _IDS, workers, console.print)
        gains = gain_table(study_sums(jobs, table, run / "predictions", _USER))
        with whole_file(output) as partial:
            partial.write_text(page(gains, trials, length, histories is not None), encoding="utf-8")
        console.print(f"written: {output}")


def readers_of(names: str) -> list[str]:
    """The readers that an option names, the model without histories first.

    Raises:
        ValueError: on an unknown name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in READERS]
    if unknown:
        raise ValueError(f"`--readers` names {unknown}. Readers: {list(READERS)}.")
    return [name for name in READERS if name == NONE or not wanted or name in wanted]


def variants(name: str, schema: Schema, budget: int) -> list[Variant]:
    """The trials of a reader.

    Args:
        name: the reader.
        schema: the table's.
        budget: number of trials.
    """
    left_out = tuple(f.name for f in schema.features if f.field == "history") if name == NONE else ()
    return [
        Variant(f"{name} trial {number}", training={**READERS[name], **choice}, left_out=left_out)
        for number, choice in enumerate(draw_choices(SPACE, budget))
    ]


def page(gains: GainTable, trials: Mapping[str, Sequence[Trial]], length: int, earlier: bool) -> str:
    """The page in Markdown.

    Args:
        gains: the gains on the test days.
        trials: the trials of each reader, the best first.
        length: most videos of a history.
        earlier: whether histories reach back before the log's first day.
    """
    tasks = list(gains.base)
    rows = []
    for name, tried in trials.items():
        settings = tried[0].variant.settings(START)
        said = f"{settings.epochs} epochs, L2 {settings.embedding_l2:g}, dropout {settings.dropout:g}"
        rows.append((name, said, str(len(tried)), *(f"{tried[0].entropies[task]:.5f}" for task in tasks)))
    first = "" if earlier else ", of the log alone"
    return f"""# What histories are worth

KuaiRand-Pure: a history holds the last {length} videos that the user liked, watched long or clicked before the
impression{first}, with the kind and the age of each action beside it (`gr.datasets.kuairand_histories`). The model is
`dcn_v2` with embeddings of {START.embedding_dim}, without groups and residual learning. It reads no history, or it
reads one through a sequence encoder (`CTRModel(sequence_encoder=...)`). With `backbone one_trans` the model is
OneTrans, which reads the positions of the history itself.

## Test days

NE gains are against the model without histories, {gains.seeds} paired seeds. Intervals cover users and seeds
(`gr.reports.gain_table`).

{gains.to_markdown()}
## Validation days

Settings were chosen here, for each reader among as many trials of one seed. NE is that of the best trial.

{markdown_table(("reader", "settings", "trials", *tasks), rows, (0, 1))}
`python -m grouprank.recipes.history_worth --data DIR --histories DIR` makes this page.
"""


def _tuned(name: str, table: PreparedTable, run: Path, budget: int, workers: int, console: Terminal) -> list[Trial]:
    tried = variants(name, table.schema, budget)
    seeds = [_FIRST_TRIAL_SEED]
    return tune(tried, table.folder, START, run / "trials", _IDS, seeds, workers, console.print)


if __name__ == "__main__":
    run_command(main)
