"""Our backbones on the tables of the BARS benchmark, beside the figures that it publishes.

`python -m grouprank.recipes.bars --dataset frappe_x1 --data DIR`

DIR holds BARS' `train.csv`, `valid.csv` and `test.csv` (https://huggingface.co/reczoo). Every model has the settings
that BARS found best for it on this table: widths, normalization, dropout and the L2 factor of the embeddings. Training
follows FuxiCTR: Adam with a rate of 0.001 on 4,096 rows a step, embeddings that start at a deviation of 0.0001, and
gradients cut at a norm of 10. An epoch whose validation AUC is no better divides the rate by ten, and the second one in
a row ends the training. The test rows are read once, by the model of the best epoch. A killed run continues where it
stopped.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from ..datasets import FuxiCTR, PreparedTable, prepare
from ..files import RunFolder, run_lock, whole_file
from ..layers import TableConfig
from ..models import CTRModel
from ..models.backbones import BACKBONES
from ..reports import task_metrics
from ..reports.task_metrics import TaskMetrics
from ..reports.terminal import Terminal
from ..schema import Categorical
from .bars_page import bars_page, other_files_warning
from .command import run_command

LABEL = "label"
_AUC = "val_auc"
# What BARS counts as a better AUC.
_BETTER = 1e-6
_EVALUATED_ROWS = 16_384


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How FuxiCTR trains.

    Args:
        learning_rate: first rate of Adam.
        batch_size: rows of a step.
        max_epochs: largest number of passes over the training rows.
        patience: epochs in a row without a better validation AUC that end the training.
        rate_factor: factor of the rate after an epoch without a better one.
        embedding_deviation: standard deviation of the embeddings at the start.
        gradient_norm: largest norm of all gradients together.
    """

    learning_rate: float = 1e-3
    batch_size: int = 4096
    max_epochs: int = 100
    patience: int = 2
    rate_factor: float = 0.1
    embedding_deviation: float = 1e-4
    gradient_norm: float = 10.0


def bars_settings() -> dict[str, Any]:
    """The tables of BARS and the settings that it publishes, `models` by backbone and table."""
    settings: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath("bars.json").read_text(encoding="utf-8")
    )
    return settings


def main(
    dataset: Annotated[str, typer.Option(help="frappe_x1, movielenslatest_x1, criteo_x1 or avazu_x1.")],
    data: Annotated[Path, typer.Option("--data", help="Folder with train.csv, valid.csv and test.csv.")],
    only: Annotated[str, typer.Option(help="Backbones, comma separated; empty for all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each backbone, from seed 0 on.")] = 1,
    max_epochs: Annotated[int, typer.Option(min=1, help="Largest number of epochs.")] = Protocol.max_epochs,
    run: Annotated[
        Path | None, typer.Option(help="Run folder. Default: runs/bars/DATASET.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Page to write. Default: bars.md in the run folder.", show_default=False)
    ] = None,
) -> None:
    """Train backbones as BARS did, and hold their test AUC against the published one."""
    console = Terminal(soft_wrap=True)
    settings = bars_settings()
    chosen = models_of(settings, dataset, only)
    layout = settings["datasets"].get(dataset)
    protocol = Protocol(max_epochs=max_epochs)
    run = run or Path("runs/bars") / dataset
    log = FuxiCTR(data, layout["numeric"], layout["categorical"], LABEL, name=dataset)
    with run_lock(run):
        folder = RunFolder(
            run, {"dataset": dataset, "backend": keras.backend.backend(), **dataclasses.asdict(protocol)}
        )
        table = prepare(log, run / "prepared")
        if folder.read_json("files.json") is None:
            folder.write_json("files.json", {"others": other_files(log.files, layout["md5"])})
        others = folder.read_json("files.json")["others"]
        if others:
            console.tagged("Warning: ", "bold yellow", other_files_warning(others))
        for name, setting in chosen.items():
            for seed in range(seeds):
                file = f"{name}-{seed}.json"
                if folder.read_json(file) is None:
                    folder.write_json(file, _train(name, setting, seed, table, protocol))
                    console.print(f"{name}, seed {seed}: {_line(folder.read_json(file), setting)}")
        found = {name: [folder.read_json(f"{name}-{seed}.json") for seed in range(seeds)] for name in chosen}
        page = bars_page(dataset, found, chosen, others, folder.read_json("config.json"))
        output = output or run / "bars.md"
        with whole_file(output) as partial:
            partial.write_text(page, encoding="utf-8")
        console.print(f"written: {output}")


def models_of(settings: Mapping[str, Any], dataset: str, only: str) -> dict[str, dict[str, Any]]:
    """The published setting of each backbone that is asked for.

    Args:
        settings: what `bars_settings` returns.
        dataset: name of the table.
        only: names of backbones, comma separated; empty for all that BARS has on the table.

    Raises:
        ValueError: on an unknown table, or a backbone that has no setting for it.
    """
    if dataset not in settings["datasets"]:
        raise ValueError(f"--dataset must be one of {list(settings['datasets'])}. Received: {dataset!r}.")
    known = {name: found[dataset] for name, found in settings["models"].items() if dataset in found}
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"--only names {unknown}. BARS' settings for {dataset} are of {list(known)}.")
    return {name: setting for name, setting in known.items() if not wanted or name in wanted}


def other_files(files: Sequence[Path], checksums: Mapping[str, str]) -> list[str]:
    """Names of the files that are not BARS' own.

    Args:
        files: the files, plain or `.gz`.
        checksums: MD5 by name, as BARS publishes them. A file that has none is not compared.
    """
    others = []
    for path in files:
        if path.name in checksums:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "md5").hexdigest() != checksums[path.name]:
                    others.append(path.name)
    return others


def bars_model(name: str, setting: Mapping[str, Any], table: PreparedTable, protocol: Protocol) -> CTRModel:
    """The untrained, compiled model of a setting.

    FuxiCTR adds `factor / 2 · ‖table‖²` to the loss at every step, over all rows of the embedding tables; so does
    `embeddings_regularizer`.

    Args:
        name: of the backbone.
        setting: its entry of `bars.json`.
        table: the prepared table.
        protocol: how it is trained.
    """
    backbone: Any = BACKBONES[name]
    dropout = {"dropout": setting["dropout"]}
    start = keras.initializers.RandomNormal(stddev=protocol.embedding_deviation)
    model = CTRModel(
        table.schema,
        backbone.from_schema(table.schema, **setting["backbone"], **dropout),
        group_structure=(),
        residual_learning=False,
        embedding_dim=setting["embedding_dim"],
        tower_units=(),
        embedding_optimizer=None,
        embeddings_regularizer=keras.regularizers.L2(setting["embedding_l2"]),
        tables=[TableConfig(f.name, initializer=start) for f in table.schema.features if isinstance(f, Categorical)],
    )
    model.compile(keras.optimizers.Adam(protocol.learning_rate, global_clipnorm=protocol.gradient_norm), metrics={})
    return model


class _ValidationAUC(keras.callbacks.Callback):
    """Adds the exact AUC of the validation rows to the epoch's logs, for the callbacks behind it."""

    model: CTRModel

    def __init__(self, table: PreparedTable) -> None:
        super().__init__()
        self._table = table

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs[_AUC] = _figures(self.model, self._table, "validation").auc


def _figures(model: CTRModel, table: PreparedTable, split: str) -> TaskMetrics:
    probabilities = model.predict_proba(table.batches(split, _EVALUATED_ROWS))[LABEL]
    return task_metrics(np.asarray(table.column(split, LABEL), "float32"), probabilities)


def _train(
    name: str, setting: Mapping[str, Any], seed: int, table: PreparedTable, protocol: Protocol
) -> dict[str, Any]:
    keras.utils.set_random_seed(seed)
    model = bars_model(name, setting, table, protocol)
    loader = table.batches("train", protocol.batch_size, shuffle=True, seed=seed)
    better = {"monitor": _AUC, "mode": "max", "min_delta": _BETTER}
    history = model.fit(
        loader,
        epochs=protocol.max_epochs,
        shuffle=False,
        verbose=0,
        callbacks=[
            _ValidationAUC(table),
            # One epoch that is no better lowers the rate.
            keras.callbacks.ReduceLROnPlateau(factor=protocol.rate_factor, patience=1, min_lr=1e-6, **better),
            keras.callbacks.EarlyStopping(patience=protocol.patience, restore_best_weights=True, **better),
            loader.follow(),
        ],
    )
    aucs = history.history[_AUC]
    test = _figures(model, table, "test")
    return {
        "epochs": len(aucs),
        "best_epoch": int(np.argmax(aucs)) + 1,
        "validation_auc": max(aucs),
        "auc": test.auc,
        "logloss": test.cross_entropy,
        "parameters": int(sum(math.prod(weight.shape) for weight in model.trainable_weights)),
    }


def _line(result: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    return (
        f"AUC {result['auc']:.4f} (BARS {setting['published']['auc']:.4f}), log loss {result['logloss']:.4f}, best "
        f"epoch {result['best_epoch']} of {result['epochs']}"
    )


if __name__ == "__main__":
    run_command(main)
