"""What tables in 8 and 4 bits a value cost on validation rows.

`python -m grouprank.benchmarks.quantized_tables --data data/kuairand-pure`
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import keras
import numpy as np
import typer

from ..datasets import Dataset, KuaiRandPure, PreparedTable, SyntheticAds, prepare
from ..recipes import demo, kuairand_ctr
from ..recipes.command import run_command
from ..recipes.study_settings import StudySettings
from ..recipes.train_model import train_model
from ..reports.markdown import markdown_table
from ..reports.terminal import Terminal
from ..serving.quantization_cost import LIMITS, QuantizationCost

# The recipes' settings. Both logs get the same backbone, and the model's own predictions as teacher.
SETTINGS = {
    "kuairand": kuairand_ctr.SETTINGS,
    "generated": dataclasses.replace(demo.SETTINGS, backbone="dcn_v2", teacher="self"),
}
TASK_COLUMNS = (
    "log",
    "tables",
    "task",
    "NE of float32",
    "NE",
    "NE lost, %",
    "expected, %",
    "limit, %",
    "AUC",
    "calibration",
)
TABLE_COLUMNS = (
    "log",
    "tables",
    "mean difference",
    "largest difference",
    "rows in other groups, %",
    "kB",
    "of float32, %",
)


class Costs(NamedTuple):
    """What tables of one dtype cost one model.

    Args:
        labelled: by the labels.
        expected: by the model's own probabilities, which have no noise of labels.
        table_bytes: of float32 tables, and of these.
    """

    labelled: QuantizationCost
    expected: QuantizationCost
    table_bytes: tuple[int, int]


def main(
    data: Annotated[
        Path | None, typer.Option(help="KuaiRand-Pure's official files; without, that log is left out.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the generated log.")] = 100_000,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the training rows; the best one is kept.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Models to train on each log.")] = 3,
    folder: Annotated[Path, typer.Option(help="Where logs and models are kept.")] = Path(
        ".benchmarks/quantized_tables"
    ),
) -> None:
    """Train models with groups on each log and round their tables; prints tables in Markdown."""
    logs: dict[str, Dataset] = {} if data is None else {"kuairand": KuaiRandPure(data)}
    logs["generated"] = SyntheticAds(rows)
    found: dict[tuple[str, str], list[Costs]] = {}
    for log, dataset in logs.items():
        name = log if log == "kuairand" else f"{log}-{rows}"
        table = prepare(dataset, folder / name / "prepared")
        for seed in range(seeds):
            settings = dataclasses.replace(SETTINGS[log].for_table(table), epochs=epochs, seed=seed)
            path = trained(table, settings, folder / name / f"{keras.backend.backend()}-{seed}")
            for table_dtype, costs in measured(path, table):
                found.setdefault((log, table_dtype), []).append(costs)
    print(markdown_table(TASK_COLUMNS, task_rows(found), (0, 1, 2)))
    print()
    print(markdown_table(TABLE_COLUMNS, table_rows(found), (0, 1)))


def trained(table: PreparedTable, settings: StudySettings, folder: Path) -> Path:
    """The file of the recipe's candidate with its best epoch on the validation rows."""
    build, console = functools.partial(settings.candidate, table), Terminal(stderr=True)
    train_model(build, folder, table, settings, seed=settings.seed, console=console, patience=settings.patience)
    return folder / "model.keras"


def measured(path: Path, table: PreparedTable) -> Iterator[tuple[str, Costs]]:
    """What each dtype of tables costs a model on the validation rows.

    Args:
        path: the model's file.
        table: the prepared table.
    """
    columns = {task: np.asarray(table.column("validation", task), "float32") for task in table.schema.task_names}
    model = keras.models.load_model(path, compile=False)
    labels = {name: keras.ops.convert_to_numpy(label).reshape(-1) for name, label in model.labels(columns).items()}
    batches = table.batches("validation", 8192)
    before, groups = model.predict_proba(batches), model.groups(batches)
    for table_dtype in LIMITS:
        # A model of its own, since what is compiled once has read the tables as they were.
        rounded = keras.models.load_model(path, compile=False)
        whole = sum(4 * stack.num_rows * int(stack.config.width) for stack in rounded.table_stacks)
        for stack in rounded.table_stacks:
            stack.quantize(table_dtype)
        kept = sum(int(np.prod(stack.quantized.rows.shape)) for stack in rounded.table_stacks)
        after, others = rounded.predict_proba(batches), rounded.groups(batches)
        moved = np.any([(groups[placement] != ids).any(axis=-1) for placement, ids in others.items()], axis=0)
        labelled, expected = (
            QuantizationCost.of(table_dtype, before, after, known, float(moved.mean())) for known in (labels, {})
        )
        yield table_dtype, Costs(labelled, expected, (whole, kept))


def task_rows(found: Mapping[tuple[str, str], Sequence[Costs]]) -> Iterator[tuple[str, ...]]:
    """A row for each log, dtype and task: medians over the models, and ranges of what was lost."""
    for (log, table_dtype), models in found.items():
        for task in models[0].labelled.tasks:
            costs = [model.labelled.tasks[task] for model in models]
            pairs = [
                np.median([getattr(cost, figure) for cost in costs], axis=0)
                for figure in ("normalized_entropy", "auc", "calibration")
            ]
            (old, new), *others = pairs
            losses = [[100.0 * cost.loss for cost in costs]]
            losses.append([100.0 * model.expected.tasks[task].loss for model in models])
            yield (
                log,
                table_dtype,
                task,
                f"{old:.5f}",
                f"{new:.5f}",
                *(_range(values, "+.4f") for values in losses),
                f"{100.0 * LIMITS[table_dtype]:g}",
                *(f"{before:.5f} → {after:.5f}" for before, after in others),
            )


def table_rows(found: Mapping[tuple[str, str], Sequence[Costs]]) -> Iterator[tuple[str, ...]]:
    """A row for each log and dtype: how far probabilities moved, and bytes of the tables."""
    for (log, table_dtype), models in found.items():
        costs = [model.labelled for model in models]
        whole, kept = models[0].table_bytes
        yield (
            log,
            table_dtype,
            _range([cost.mean_difference for cost in costs], ".1e"),
            _range([cost.max_difference for cost in costs], ".1e"),
            _range([100.0 * cost.regrouped for cost in costs], ".2f"),
            f"{kept / 1e3:,.0f}",
            f"{100.0 * kept / whole:.1f}",
        )


def _range(values: Sequence[float], form: str) -> str:
    """The median, and the least and greatest in brackets."""
    middle = format(np.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} – {max(values):{form}})"


if __name__ == "__main__":
    run_command(main)
