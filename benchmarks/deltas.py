"""What a delta between two versions takes beside a full export.

`python -m grouprank.benchmarks.deltas`
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from ..models import CTRModel
from ..recipes.command import run_command
from ..schema import Categorical, Numeric, Schema, Task
from ..serving import apply_delta, export, export_delta, prune


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the embedding tables.")] = 10_000_000,
    width: Annotated[int, typer.Option(min=1, help="Width of a row.")] = 16,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the rows that changed.")] = 0.01,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
) -> None:
    """Change some rows and all other weights; write a delta, apply it and export the model, by turns.

    The first round imports TensorFlow and is told apart.
    """
    model, generator = _model(rows, width), np.random.default_rng(0)
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        base = export(model, Path(place) / "base" / "1").path
        for number in range(repeats + 1):
            _change(model, share, generator)
            began = time.perf_counter()
            report = export_delta(model, base, Path(place) / f"delta-{number}")
            written = time.perf_counter()
            apply_delta(base, report.path, Path(place) / "applied")
            applied = time.perf_counter()
            export(model, Path(place) / "exported")
            full = time.perf_counter() - applied
            for folder in ("applied", "exported"):
                prune(Path(place) / folder, 1)
            ratios.append((applied - began) / full)
            typer.echo(f"{report}" if not number else "", nl=not number)
            typer.echo(
                f"{'first' if not number else f'round {number}'}: written in {written - began:.2f} s, applied in "
                f"{applied - written:.2f} s, a full export in {full:.2f} s: {ratios[-1]:.3f} of it"
            )
    typer.echo(f"median without the first: {statistics.median(ratios[1:]):.3f}")


def _model(rows: int, width: int) -> CTRModel:
    """A model as it is after training, with a table of two features and the slots of its optimizer."""
    keras.utils.set_random_seed(0)
    features: list[Any] = [
        Categorical("user_id", rows // 2, side="user"),
        Categorical("ad_id", rows - rows // 2, side="ad"),
        *(Numeric(f"number_{place}", side="context") for place in range(13)),
    ]
    model = CTRModel(
        Schema(features, [Task("click")]),
        "dcn_v2",
        group_structure=(),
        embedding_dim=width,
        embedding_optimizer="adagrad",
    )
    model.compile()
    return model


def _change(model: CTRModel, share: float, generator: np.random.Generator) -> None:
    (stack,) = model.table_stacks
    chosen = np.sort(generator.choice(stack.num_rows, max(int(share * stack.num_rows), 1), replace=False))
    values = generator.normal(0, 0.01, (len(chosen), int(stack.config.width or 0))).astype("float32")
    table: Any = stack.layer
    table.reset_rows(chosen, values)
    for weight in model.dense_weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(generator.normal(0, 0.1, weight.shape).astype("float32"))


if __name__ == "__main__":
    run_command(main)
