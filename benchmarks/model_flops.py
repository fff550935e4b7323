"""How many operations each preset needs to score a row, and to score an ad of a ranked request.

`KERAS_BACKEND=jax python -m grouprank.benchmarks.model_flops`

XLA counts them in the program before it runs, so the numbers do not depend on the machine's load.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from .. import models
from ..models import CTRModel, presets
from ..models.preset_registry import get_preset
from ..recipes.command import run_command
from ..schema import Categorical, Schema, Sequence, Task
from .support import Report, Table
from .zoo.preset_step import SIDES

QUESTION = """How many floating-point operations does a preset need to score?

{fields} fields of width {dim}, a third of them on each side (user, ad, context), and the user's last {history} ads as a
history; two tasks (a click, and a purchase given the click); every preset with its defaults. `a row` is the share
of one row in `predict` on {ads} rows. `a ranked ad` is the share of one ad in `rank` with {ads} ads for one user, where
what the request alone decides is computed once. Both are what XLA counts in the forward pass, as JAX hands it over: a
multiplication and an addition are two operations, and a lookup is none but for the arithmetic of its indices."""


def main(
    fields: Annotated[int, typer.Option(min=3, help="Categorical fields.")] = 39,
    history: Annotated[int, typer.Option(min=1, help="Positions of the history.")] = 50,
    ads: Annotated[int, typer.Option(min=2, help="Ads of a request.")] = 500,
    embedding_dim: Annotated[int, typer.Option(min=1, help="Width of embeddings.")] = 16,
    only: Annotated[str, typer.Option(help="Presets, comma separated; empty for all.")] = "",
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Count the operations of every preset."""
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"JAX's compiler counts the operations. Set KERAS_BACKEND=jax. Received: {keras.backend.backend()}."
        )
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    names = [name for name in presets("CTRModel", "CVRModel") if not name.startswith("table1_")]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ValueError(f"--only names {unknown}. Presets: {names}.")
    found = {}
    for name in wanted or names:
        found[name] = preset_flops(name, fields, history, ads, embedding_dim)
        typer.echo(f"{name}: {found[name][0]:,.0f} a row, {found[name][1]:,.0f} a ranked ad")
    rows = [
        (name, f"{row / 1e6:.3f}", f"{ranked / 1e6:.3f}", f"{ranked / row:.2f}")
        for name, (row, ranked) in found.items()
    ]
    columns = ("preset", "a row, million", "a ranked ad, million", "ranked over row")
    flops = {name: {"row": row, "ranked ad": ranked} for name, (row, ranked) in found.items()}
    Report(
        name="model_flops",
        title="Operations of the presets",
        question=QUESTION.format(fields=fields, dim=embedding_dim, history=history, ads=ads),
        tables=[Table(columns, rows, "Floating-point operations")],
        measurements={},
        settings={"fields": fields, "history": history, "ads": ads, "embedding_dim": embedding_dim},
        extra={"flops": flops},
    ).write(output)


def preset_flops(name: str, fields: int, history: int, ads: int, embedding_dim: int) -> tuple[float, float]:
    """Operations of a row, and of an ad of a ranked request.

    Args:
        name: of the preset.
        fields: categorical fields, a third of them on each side.
        history: positions of the user's history, which shares the first ad field's table.
        ads: rows, and ads of the request.
        embedding_dim: width of embeddings.
    """
    features = [Categorical(f"field_{number:02d}", 1000, side=SIDES[number % 3]) for number in range(fields)]
    schema = Schema(
        [*features, Sequence("history", 1000, history, side="user", shares="field_01")],
        [Task("click"), Task("purchase", given="click")],
    )
    model: CTRModel = getattr(models, get_preset(name).model).from_preset(name, schema, embedding_dim=embedding_dim)
    of_ad = {feature.name for feature in schema.on_side("ad")}
    columns = {f.name: np.zeros((ads, *f.shape), "int32") for f in schema.features}
    request = {name: values[:1] for name, values in columns.items() if name not in of_ad}
    candidates = {name: values[None] for name, values in columns.items() if name in of_ad}
    scorer = model.logits_model()
    flat = _flops(lambda values: scorer(values, training=False), columns)
    ranked = _flops(model.rank_logits, request, candidates)
    return flat / ads, ranked / ads


def _flops(function: Callable[..., Any], *arguments: Any) -> float:
    import jax

    cost: Any = jax.jit(function).lower(*arguments).cost_analysis()
    return float(cost["flops"])


if __name__ == "__main__":
    run_command(main)
