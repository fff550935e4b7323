"""Training speed of one DCNv2, side by side with other libraries.

`python -m grouprank.benchmarks.training_throughput`
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..recipes.command import run_command
from .dcn.contenders import BACKENDS, frozen, ours, peers, select, stock
from .dcn.workload import Workload
from .support import (
    Contender,
    Measurement,
    MemoryBandwidth,
    Ratio,
    Report,
    Table,
    bar_figure,
    measure_memory_bandwidth,
    run_rounds,
    time_ratio,
)

REFERENCE = "TorchRec fused"
# Table row read and written, Adagrad's slot row read and written.
ROW_TRANSFERS = 4

QUESTION = """How many rows per second does plain training of DCNv2 reach when the embedding tables are large?

Every contender trains the same network in float32: {fields} categorical fields of width {dim}, three full-rank cross
layers beside dense layers (256, 128), one logit, binary cross entropy, Adam 0.001 for the network, batches of
{batch} rows. The tables hold {rows:,} rows together; sizes are log-spaced over the fields from {least:,} to {most:,},
as skewed as Criteo's. Ids follow {law}; {batches} distinct batches, the same for everyone, go round. A batch touches
{distinct:,.0f} distinct rows on average.

A step's time runs from the NumPy batch to the updated weights: `model.fit` over a `PyDataset` with a callback for
ours, stock Keras and keras-rs; `fit` for TFRS; `train_epoch` for FuxiCTR; TorchRec's plain loop
(forward, `backward`, `step`). No metrics are computed. "Stock" is `keras.layers.Embedding`, one per field or one over
all fields with offsets (stacked), under `compile`'s defaults; keras-rs is its `DistributedEmbedding`, which off the
TPU trains with the model's optimizer. "Frozen" is our network over a table that is only read: the floor
below any way to update it."""
LAWS = {
    "zipf": "Zipf's law with exponent 1 in each field (id = ⌊size^u⌋ - 1, u uniform)",
    "uniform": "the uniform law in each field, the worst case",
}


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of all tables together.")] = 10_000_000,
    law: Annotated[str, typer.Option(help="Law of the ids: zipf or uniform.")] = "zipf",
    optimizer: Annotated[str, typer.Option(help="Optimizer of fused tables.")] = "adagrad",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per step.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 10,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before the first timed one.")] = 4,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Train one DCNv2 in every library and compare the rows per second."""
    work = Workload(rows=rows, law=law, batch_size=batch_size)
    contenders = select(_contenders(work, optimizer), only)
    bandwidth = measure_memory_bandwidth()
    found = run_rounds(contenders, repeats, steps, warmup, folder=folder)
    settings = {**dataclasses.asdict(work), "optimizer": optimizer, "repeats": repeats, "steps": steps}
    page = _report(work, found, bandwidth, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _contenders(work: Workload, optimizer: str) -> list[Contender]:
    return [
        *(ours(backend, work, optimizer) for backend in BACKENDS),
        *peers(work, optimizer),
        stock("jax", work, "keras_rs"),
        stock("tensorflow", work, "keras_rs"),
        *(stock(backend, work, tables) for tables in ("per_field", "stacked") for backend in BACKENDS),
        *(frozen(backend, work) for backend in BACKENDS),
    ]


def _report(
    work: Workload, found: dict[str, Measurement], bandwidth: MemoryBandwidth, settings: dict[str, object]
) -> Report:
    distinct = work.distinct_rows()
    touched = ROW_TRANSFERS * 4 * work.embedding_dim * distinct
    sizes = work.vocabulary_sizes
    measured = {name: one for name, one in found.items() if one.ok}
    by_speed = dict(sorted(measured.items(), key=lambda item: item[1].seconds))
    speed = {name: work.batch_size / one.seconds for name, one in by_speed.items()}
    ranges = {
        name: (work.batch_size / max(one.round_seconds), work.batch_size / min(one.round_seconds))
        for name, one in by_speed.items()
    }
    note = (
        f"Memory floor of the update: {touched / 1e6:.1f} MB per step ({distinct:,.0f} distinct rows of "
        f"{4 * work.embedding_dim} bytes; table and slot, each read and written) over the bandwidth NumPy reaches on "
        f"one thread: {1e3 * touched / bandwidth.gather:.2f} ms at {bandwidth.gather / 1e9:.1f} GB/s (rows gathered "
        f"at random), {1e3 * touched / bandwidth.copy:.2f} ms at {bandwidth.copy / 1e9:.1f} GB/s (large copy, read "
        "and written bytes together)."
    )
    return Report(
        name="training_throughput",
        title="Training throughput",
        question=QUESTION.format(
            fields=work.fields,
            dim=work.embedding_dim,
            batch=work.batch_size,
            rows=work.rows,
            least=min(sizes),
            most=max(sizes),
            law=LAWS[work.law],
            batches=work.batches,
            distinct=distinct,
        ),
        tables=[_speeds(work, found), _targets(found)],
        measurements=found,
        settings=settings,
        notes=[
            note,
            "TorchRec's network above the tables is plain `torch.nn.Linear`; FuxiCTR clips gradients by norm and has "
            "one Adam for everything, as its loop does; TFRS has legacy Keras' Adagrad and Adam through its "
            "`CompositeOptimizer`, and `PartialTPUEmbedding` as it comes.",
            "The stock ratio takes the faster stock model of the same backend. Peak memory is the resident set of "
            "the whole process, libraries and building included.",
        ],
        figure=bar_figure(speed, "rows per second", {name: _kind(name) for name in speed}, ranges) if speed else None,
        alt="Bars of training rows per second by contender, the fastest on top; thin lines span the rounds.",
        extra={"memory_bandwidth": dataclasses.asdict(bandwidth), "distinct_rows": distinct},
    )


def _speeds(work: Workload, found: dict[str, Measurement]) -> Table:
    rows = []
    for name, one in found.items():
        if not one.ok:
            rows.append((name, *["–"] * 6))
            continue
        rows.append(
            (
                name,
                str(one.facts.get("embedding optimizer", "")),
                f"{work.batch_size / one.seconds:,.0f}",
                f"{1e3 * one.seconds:.0f}",
                _text(_times_faster(found, REFERENCE, name)),
                _text(_times_faster(found, _fastest_stock(found, name), name)),
                f"{one.peak_bytes / 1e9:.2f}",
            )
        )
    columns = ["contender", "embedding optimizer", "rows/s", "ms/step", "× TorchRec", "× stock", "peak memory, GB"]
    return Table(columns, rows, "Speed", "`×` is how many times faster, in the same round.")


def _targets(found: dict[str, Measurement]) -> Table:
    rows = []
    for backend, title in BACKENDS.items():
        name = f"ours, {title}"
        least = 3.0 if backend == "jax" else 5.0
        for what, other, target in (
            ("TorchRec fused", REFERENCE, 1.0),
            ("the faster stock Keras", _fastest_stock(found, name), least),
            ("stock Keras, a table per field", f"stock per field, {title}", least),
            ("FuxiCTR", "FuxiCTR", 5.0),
        ):
            ratio = _times_faster(found, other, name)
            verdict = "not measured" if ratio is None else "yes" if ratio.median >= target else "**no**"
            rows.append((f"{name} × {what}", f"≥ {target:.1f}", _text(ratio), verdict))
    return Table(["ratio", "target", "measured", "reached"], rows, "Targets")


def _times_faster(found: dict[str, Measurement], reference: str | None, name: str) -> Ratio | None:
    if reference is None or reference not in found or name not in found:
        return None
    return time_ratio(found[reference], found[name])


def _fastest_stock(found: dict[str, Measurement], name: str) -> str | None:
    backend = name.partition(", ")[2]
    stocks = [one for other, one in found.items() if other.startswith("stock") and other.endswith(f", {backend}")]
    measured = [one for one in stocks if one.ok]
    return min(measured, key=lambda one: one.seconds).name if backend and measured else None


def _text(ratio: Ratio | None) -> str:
    return "–" if ratio is None else str(ratio)


def _kind(name: str) -> str:
    first = name.split(",")[0].split(" ")[0]
    return {"ours": "ours", "frozen": "frozen tables (floor)", "stock": "stock Keras"}.get(first, "other libraries")


if __name__ == "__main__":
    run_command(main)
