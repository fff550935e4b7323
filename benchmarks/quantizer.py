"""Our residual quantizer beside vector-quantize-pytorch's.

`python -m grouprank.benchmarks.quantizer`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipes.command import run_command
from .dcn.contenders import BACKENDS, select
from .support import Contender, Measurement, Ratio, Report, Table, bar_figure, run_rounds, time_ratio

PEER = "ResidualVQ"
TARGETS = {"tensorflow": 4.0, "jax": 4.0, "torch": 1.5}

QUESTION = """What does a training call of the residual quantizer cost?

{rows} rows of {dims} components, {levels} codebooks of {codes} codes; forward, moving averages, reset of dead codes,
and backward to the rows. Ours is compiled as in `fit` (`tf.function`, `jax.jit`, torch eager);
[vector-quantize-pytorch](https://github.com/lucidrains/vector-quantize-pytorch)'s `ResidualVQ` runs in a process and
an environment of its own with equal settings: decay 0.99, commitment weight 1, plain straight-through gradient, no
k-means, codes dead below 3 % of the mean usage. It looks for dead codes at every call, ours at every 20th. The floor is
the product of rows and codes of each level and its row maxima alone, forward, on the same backend."""


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows of a call.")] = 4096,
    dims: Annotated[str, typer.Option(help="Widths of a row, comma separated.")] = "16,64",
    levels: Annotated[int, typer.Option(min=1, help="Codebooks.")] = 3,
    codes: Annotated[int, typer.Option(min=1, help="Codes of a codebook.")] = 256,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 9,
    steps: Annotated[int, typer.Option(min=1, help="Timed calls of a round.")] = 40,
    warmup: Annotated[int, typer.Option(min=1, help="Calls before the first timed one.")] = 40,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Time the quantizer on every backend beside vector-quantize-pytorch."""
    widths = [int(width) for width in dims.split(",")]
    sizes = {"rows": rows, "levels": levels, "codes": codes}
    contenders = [one for width in widths for one in _contenders({**sizes, "dim": width})]
    found = run_rounds(select(contenders, only), repeats, steps, warmup, folder=folder)
    page = _report(found, widths, {**sizes, "dims": widths, "repeats": repeats, "steps": steps}).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contenders(sizes: Mapping[str, int]) -> list[Contender]:
    dim = sizes["dim"]
    made = [
        Contender(
            _name(kind, title, dim),
            f"grouprank.benchmarks.groups.our_quantizer:{function}",
            sizes,
            variables={"KERAS_BACKEND": backend},
            packages=("keras", backend, "numpy"),
            memory_bytes=10**9,
        )
        for backend, title in BACKENDS.items()
        for kind, function in (("ours", "prepare"), ("products alone", "prepare_products"))
    ]
    peer = Contender(
        _name(PEER, "torch", dim),
        "grouprank.benchmarks.groups.residual_vq:prepare",
        sizes,
        environment="vector_quantize",
        requirements=("torch==2.13.0", "vector-quantize-pytorch==1.32.0", "numpy"),
        packages=("torch", "vector-quantize-pytorch", "numpy"),
        memory_bytes=10**9,
    )
    return [peer, *made]


def _name(kind: str, title: str, dim: int) -> str:
    return f"{kind}, {title}, {dim} wide"


def _report(found: Mapping[str, Measurement], widths: list[int], settings: Mapping[str, Any]) -> Report:
    times, targets = [], []
    for dim in widths:
        peer = found.get(_name(PEER, "torch", dim))
        times.append((_name(PEER, "torch", dim), _milliseconds(peer), "–", "–"))
        for backend, title in BACKENDS.items():
            one, floor = found.get(_name("ours", title, dim)), found.get(_name("products alone", title, dim))
            ratio = _ratio(peer, one)
            times.append((_name("ours", title, dim), _milliseconds(one), _text(ratio), _milliseconds(floor)))
            target = TARGETS[backend]
            verdict = "not measured" if ratio is None else "yes" if ratio.median >= target else "**no**"
            targets.append((f"{title}, {dim} wide", f"≥ {target:.1f}", _text(ratio), verdict))
    shown = {name: one for name, one in found.items() if one.ok}
    figure = None
    if shown:
        values = {name: 1e3 * one.seconds for name, one in shown.items()}
        ranges = {name: (1e3 * min(one.round_seconds), 1e3 * max(one.round_seconds)) for name, one in shown.items()}
        figure = bar_figure(values, "ms per call", {name: name.split(",")[0] for name in shown}, ranges, digits=1)
    return Report(
        name="quantizer",
        title="Residual quantizer",
        question=QUESTION.format(**{**settings, "dims": " or ".join(str(dim) for dim in widths)}),
        tables=[
            Table(
                ["contender", "ms per call", f"× {PEER}", "floor, ms"],
                times,
                "Time",
                "`×` is how many times faster, in the same round.",
            ),
            Table([f"ratio to {PEER}", "target", "measured", "reached"], targets, "Targets"),
        ],
        measurements=found,
        settings=settings,
        figure=figure,
        alt="Bars of milliseconds per call by contender, for each width; thin lines span the rounds.",
    )


def _milliseconds(one: Measurement | None) -> str:
    return f"{1e3 * one.seconds:.1f}" if one is not None and one.ok else "–"


def _ratio(peer: Measurement | None, one: Measurement | None) -> Ratio | None:
    return time_ratio(peer, one) if peer is not None and one is not None else None


def _text(ratio: Ratio | None) -> str:
    return "–" if ratio is None else str(ratio)


if __name__ == "__main__":
    run_command(main)
