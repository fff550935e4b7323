"""Every preset on KuaiRand-Pure, several seeds each: the table of `docs/models.md`.

`python -m grouprank.recipes.kuairand_models --data DIR`

Split by time as `kuairand_ctr`: training to 4 May 2022, validation 5 – 6 May, test 7 – 8 May. All presets get the
same settings and keep their own defaults in the rest. The validation days choose how much the embeddings are
regularized (L2, or the L1 term of FTRL), once per preset, and the number of epochs, in each run. The test days are read
once, at the end of a run. Killed runs continue where they stopped. `--history 50` gives all presets the user's last 50
videos, and `--histories DIR` those of the days before the log. `lr_gbdt` also gets the leaves of boosted trees, of
which the task is `is_click`.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from .. import models, reports
from ..datasets import (
    Dataset,
    KuaiRandFunnel,
    KuaiRandPure,
    PreparedTable,
    kuairand_histories,
    prepare,
    with_boosted_leaves,
)
from ..files import RunFolder, run_lock, whole_file
from ..layers import embedding_optimizers
from ..models import CTRModel
from ..models.preset_registry import get_preset
from ..reports.terminal import Terminal
from .command import run_command
from .models_page import models_page, models_report
from .validation_entropy import FIGURE, ValidationEntropy

KINDS = ("CTRModel", "CVRModel")
# The preset that wants a table with the leaves of boosted trees.
LEAVES = "lr_gbdt"


@dataclasses.dataclass(frozen=True)
class ZooSettings:
    """What all presets are trained with.

    Args:
        embedding_dim: width of embeddings.
        dropout: dropout rate, where a preset has dense layers.
        embedding_l2: L2 factors of the embedding table to choose from. A factor that keeps a network from memorising
        users leaves nothing of a linear model.
        embedding_l1: L1 terms to choose from in its place, for presets whose embeddings FTRL trains.
        learning_rate: learning rate of Adam.
        batch_size: rows per step.
        max_epochs: largest number of passes over the training rows.
        patience: epochs without a better mean validation NE before a run stops.
    """

    embedding_dim: int = 8
    dropout: float = 0.3
    embedding_l2: tuple[float, ...] = (1e-3, 1e-5)
    embedding_l1: tuple[float, ...] = (1.0, 5.0)
    learning_rate: float = 1e-3
    batch_size: int = 1024
    max_epochs: int = 20
    patience: int = 1


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder with the official files.")],
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/kuairand_models"),
    only: Annotated[str, typer.Option(help="Presets, comma separated; empty for all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each preset, from seed 0 on.")] = 3,
    output: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/models.md"),
    steps: Annotated[Path, typer.Option(help="Step times, as benchmarks.model_steps writes them.")] = Path(
        "docs/benchmarks/model_steps.json"
    ),
    flops: Annotated[Path, typer.Option(help="Operations, as benchmarks.model_flops counts them.")] = Path(
        "docs/benchmarks/model_flops.json"
    ),
    history: Annotated[int, typer.Option(min=0, help="Videos that the user acted on before, at most; 0: none.")] = 0,
    histories: Annotated[Path | None, typer.Option(help="Folder with user_sequences.parquet.")] = None,
) -> None:
    """Train every preset, measure it on the test days, write the page."""
    console = Terminal()
    settings = ZooSettings()
    if histories is not None and not history:
        raise ValueError("--histories needs the number of videos to take: --history 50.")
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(models.presets(*KINDS))
    logs: dict[str, tuple[Dataset, str]]
    if history:
        kinds = (KuaiRandPure(data, by_time=True), KuaiRandFunnel(data, by_time=True))
        clicks, funnel = (kuairand_histories(log, history, histories) for log in kinds)
        logs = {"CTRModel": (clicks, "prepared-history"), "CVRModel": (funnel, "prepared-funnel-history")}
    else:
        logs = {"CTRModel": (KuaiRandPure(data), "prepared"), "CVRModel": (KuaiRandFunnel(data), "prepared-funnel")}
    read = {"history": history, "histories": None if histories is None else histories.name} if history else {}
    with run_lock(run):
        folder = RunFolder(run, {"backend": keras.backend.backend(), **dataclasses.asdict(settings), **read})
        needed = {get_preset(name).model for name in wanted}
        tables = {kind: prepare(log, run / name) for kind, (log, name) in logs.items() if kind in needed}
        if LEAVES in wanted:
            plain = tables["CTRModel"]
            tables[LEAVES] = with_boosted_leaves(plain, run / f"{plain.folder.name}-leaves")
        for name in wanted:
            table = tables[name if name in tables else get_preset(name).model]
            for seed in range(seeds):
                file = f"{name}-{seed}.json"
                if folder.read_json(file) is None:
                    first = folder.read_json(f"{name}-0.json")
                    factors = _factors(name, settings) if first is None else (first[_penalty(name)],)
                    folder.write_json(file, _best_run(name, seed, table, settings, factors))
                    console.print(f"{name}, seed {seed}: {_line(folder.read_json(file))}", soft_wrap=True)
        found = {
            name: [result for seed in range(seeds) if (result := folder.read_json(f"{name}-{seed}.json")) is not None]
            for name in models.presets(*KINDS)
        }
        measured = json.loads(steps.read_text(encoding="utf-8")) if steps.exists() else None
        counted = json.loads(flops.read_text(encoding="utf-8"))["flops"] if flops.exists() else {}
        runs = {name: runs for name, runs in found.items() if runs}
        shown = (runs, folder.read_json("config.json"), measured, counted)
        with whole_file(output) as partial:
            partial.write_text(models_page(*shown), encoding="utf-8")
        for path in (output, models_report(*shown).write(run / "report.html")):
            console.print(f"written: {path}")


@dataclasses.dataclass(frozen=True)
class _Run:
    """A trained model, and what it reached on the validation rows."""

    model: CTRModel
    factor: float
    epochs: int
    entropy: float


def _penalty(name: str) -> str:
    """What keeps the embeddings of a preset small: L2, or the L1 term of its FTRL."""
    return "embedding_l1" if "embedding_optimizer" in get_preset(name).arguments else "embedding_l2"


def _factors(name: str, settings: ZooSettings) -> tuple[float, ...]:
    factors: tuple[float, ...] = getattr(settings, _penalty(name))
    return factors


def _best_run(
    name: str, seed: int, table: PreparedTable, settings: ZooSettings, factors: Sequence[float]
) -> dict[str, Any]:
    runs = [_train(name, seed, table, settings, factor) for factor in factors]
    best = min(runs, key=lambda run: run.entropy)
    model = best.model
    columns = {task: np.asarray(table.column("test", task), "float32") for task in table.schema.task_names}
    labels = {prediction: keras.ops.convert_to_numpy(label) for prediction, label in model.labels(columns).items()}
    probabilities = model.predict_proba(table.batches("test", 8192))
    embedding = model.get_layer("embedding")
    tables = [keras.ops.convert_to_numpy(weight) for weight in embedding.weights if weight.name == "embeddings"]
    embeddings = sum(values.size for values in tables)
    inside = {id(weight) for weight in embedding.weights}
    return {
        _penalty(name): best.factor,
        "epochs": best.epochs,
        "validation": {f"{run.factor:g}": run.entropy for run in runs},
        "parameters": sum(
            math.prod(weight.shape) for weight in model.logits_model().trainable_weights if id(weight) not in inside
        ),
        "embeddings": embeddings,
        "zero_embeddings": sum(int(np.sum(values == 0)) for values in tables) / embeddings,
        "test": {
            prediction: reports.task_metrics(label, probabilities[prediction]).to_dict()
            for prediction, label in labels.items()
        },
    }


def _train(name: str, seed: int, table: PreparedTable, settings: ZooSettings, factor: float) -> _Run:
    keras.utils.set_random_seed(seed)
    kind = getattr(models, get_preset(name).model)
    kept_small: dict[str, Any] = (
        {"embeddings_regularizer": keras.regularizers.L2(factor)}
        if _penalty(name) == "embedding_l2"
        else {"embedding_optimizer": embedding_optimizers.FTRL(l1=factor, batch_size=settings.batch_size)}
    )
    sizes = {"embedding_dim": settings.embedding_dim, "dropout": settings.dropout}
    model = kind.from_preset(name, table.schema, **sizes, **kept_small)
    # Metrics in every step would take longer than some of the models.
    model.compile(keras.optimizers.Adam(settings.learning_rate), metrics={})
    loader = table.batches("train", settings.batch_size, shuffle=True, seed=seed)
    if model.group_concats:
        model.adapt(loader)
    best = keras.callbacks.EarlyStopping(FIGURE, patience=settings.patience, mode="min", restore_best_weights=True)
    history = model.fit(
        loader,
        epochs=settings.max_epochs,
        shuffle=False,
        verbose=0,
        callbacks=[ValidationEntropy(table), best, loader.follow()],
    )
    entropies = history.history[FIGURE]
    return _Run(model, factor, int(np.argmin(entropies)) + 1, float(min(entropies)))


def _line(result: dict[str, Any]) -> str:
    figures = "  ".join(
        f"{name} NE {found['normalized_entropy']:.4f} AUC {found['auc']:.4f}" for name, found in result["test"].items()
    )
    name = "embedding_l1" if "embedding_l1" in result else "embedding_l2"
    return f"{name} {result[name]:g}, {result['epochs']} epochs  {figures}"


if __name__ == "__main__":
    run_command(main)
