"""Rows per second from Criteo's text to the model.

`python -m grouprank.benchmarks.loader`
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..datasets import CriteoDAC, prepare
from ..recipes.command import run_command
from .loading.criteo_text import write_criteo_text
from .loading.loader_report import loader_report
from .support import Contender, Measurement, run_rounds

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
STEPS = {"prepare": 1, "id_map": 3, "feed": 8, "fit": 8, "dcn_v2": 6}
_HERE = "grouprank.benchmarks.loading"


def main(
    rows: Annotated[int, typer.Option(min=50_000, help="Rows of the smaller text.")] = 1_000_000,
    larger: Annotated[int, typer.Option(min=1, help="How many times as long the larger text is.")] = 4,
    source: Annotated[
        Path | None, typer.Option(help="A file in Criteo's layout to draw from. Without it rows are made up.")
    ] = None,
    ids: Annotated[int, typer.Option(min=1, help="Tokens of growing ids, and rows of a step.")] = 1_000_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where texts, tables and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Prepare Criteo's layout, map tokens to growing ids, read batches, and feed `fit`: rows per second and memory."""
    origin = "made up" if source is None else "excerpt"
    places = {size: folder.absolute() / "loader" / f"{origin}-{size}" for size in (rows, rows * larger)}
    for size, place in places.items():
        write_criteo_text(place / "text" / "train.txt", size, source)
        prepare(CriteoDAC(place / "text"), place / "table")
    chosen = [part.strip() for part in only.split(",") if part.strip()]
    contenders = [
        one
        for one in (
            *_preparing(places),
            *_mapping(ids),
            *_feeding(places, batch_size),
            *_fitting(places[rows], rows, batch_size),
        )
        if not chosen or any(part in one.name for part in chosen)
    ]
    found: dict[str, Measurement] = {}
    for part, steps in STEPS.items():
        turns = [one for one in contenders if _part(one) == part]
        found |= run_rounds(turns, repeats, steps, warmup=1, folder=folder) if turns else {}
    vocabularies = json.loads((places[rows] / "table" / "report.json").read_text())["vocabulary_sizes"]
    settings = {
        "rows": rows,
        "larger": larger,
        "source": origin,
        "batch_size": batch_size,
        "repeats": repeats,
        "ids": sum(vocabularies.values()),
        "growing_ids": ids,
    }
    page = loader_report({one.name: one for one in contenders}, found, settings, BACKENDS).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _part(contender: Contender) -> str:
    """The part of the benchmark that a contender takes turns in."""
    if contender.settings.get("model") == "dcn_v2":
        return "dcn_v2"
    module = contender.target.split(":")[0].rsplit(".", 1)[1]
    return "prepare" if module == "prepare_text" else module


def _preparing(places: dict[int, Path]) -> list[Contender]:
    def one(name: str, size: int, stage: str, workers: int | None = None) -> Contender:
        variables = {"KERAS_BACKEND": "jax"} | ({"POLARS_MAX_THREADS": "1"} if workers == 1 else {})
        settings = {"folder": str(places[size] / "text"), "stage": stage, "workers": workers}
        return Contender(name, f"{_HERE}.prepare_text:prepare", settings, variables=variables, packages=("polars",))

    small, large = places
    return [
        one("prepare, all cores", small, "both"),
        one("prepare, one core", small, "both", 1),
        one("first pass, all cores", small, "count"),
        one("first pass, one core", small, "count", 1),
        one("second pass, all cores", small, "encode"),
        one("second pass, one core", small, "encode", 1),
        one("floor: read_csv, all cores", small, "parse"),
        one("floor: read_csv, one core", small, "parse", 1),
        one("floor: read the bytes", small, "read"),
        one("prepare, larger text", large, "both"),
    ]


def _mapping(ids: int) -> list[Contender]:
    variables = {"KERAS_BACKEND": "jax", "POLARS_MAX_THREADS": "1"}
    return [
        Contender(
            f"growing ids, {title}, {dtype}",
            f"{_HERE}.id_map:prepare",
            {"case": case, "dtype": dtype, "tokens": ids},
            variables=variables,
            packages=("polars",),
        )
        for dtype in ("string", "int64")
        for case, title in (("known", "known tokens"), ("new", "new tokens"), ("full", "new tokens, full table"))
    ]


def _feeding(places: dict[int, Path], batch_size: int) -> list[Contender]:
    def one(name: str, size: int, kind: str, batches: int = 16, backend: str = "jax") -> Contender:
        settings = {"table": str(places[size] / "table"), "kind": kind, "batch_size": batch_size, "batches": batches}
        return Contender(name, f"{_HERE}.feed:prepare", settings, variables={"KERAS_BACKEND": backend})

    small, large = places
    return [
        one("loader, in order", small, "sequential"),
        one("loader, shuffled", small, "shuffled"),
        one("loader, shuffled, no thread", small, "shuffled, no thread"),
        one("loader, shuffled, larger table", large, "shuffled"),
        one("tf.data from memory, shuffled", small, "tf.data", 4, "tensorflow"),
        one("torch DataLoader from memory, shuffled", small, "torch", 1, "torch"),
    ]


def _fitting(place: Path, rows: int, batch_size: int) -> list[Contender]:
    # One call of fit reads part of the training rows (80 %), and no batch of them twice.
    available = rows * 8 // 10 // batch_size

    def one(name: str, backend: str, model: str, kind: str, most: int) -> Contender:
        batches = max(1, min(most, available // (STEPS["fit"] + 1)))
        settings: dict[str, Any] = {
            "table": str(place / "table"),
            "model": model,
            "kind": kind,
            "batch_size": batch_size,
            "batches": batches,
            "fit_steps": max(1, available // batches - 1),
        }
        target = f"{_HERE}.fit:prepare"
        return Contender(name, target, settings, variables={"KERAS_BACKEND": backend}, packages=("keras", backend))

    return [
        contender
        for backend, title in BACKENDS.items()
        for contender in (
            one(f"one Dense, loader, {title}", backend, "dense", "loader", 16),
            one(f"one Dense, arrays in memory, {title}", backend, "dense", "arrays", 16),
            one(f"one Dense, one batch, {title}", backend, "dense", "one batch", 16),
            one(f"DCNv2, loader, {title}", backend, "dcn_v2", "loader", 1),
        )
    ]


if __name__ == "__main__":
    run_command(main)
