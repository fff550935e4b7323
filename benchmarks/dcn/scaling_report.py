"""The report of `embedding_scaling`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..support import Measurement, Report, Table, line_figure, measure_memory_bandwidth, time_ratio
from .contenders import BACKENDS
from .workload import LAWS, Workload

# Slots of a row, in rows.
SLOTS = {"sgd": 0.0, "rowwise_adagrad": 1 / 16, "adagrad": 1.0, "adam": 2.0}
KINDS = ("fused", "frozen", "stock")

QUESTION = """Does a training step cost more when the embedding tables grow?

DCNv2 of [training_throughput](training_throughput.md) ({fields} fields of width {dim}, batches of {batch} rows), under
plain `model.fit`, over tables of {least:,} to {most:,} rows. "Fused" is our table with {optimizer}; "stock" is one
`keras.layers.Embedding` over all fields with Adam; "frozen" is our network over a table that is only read, the floor.
Ids follow Zipf's law with exponent 1 in each field, or the uniform law, the worst case: nearly every id of a large
field is then a row that no cache holds. More rows also mean more *distinct* rows per batch, which no method can avoid;
the second table counts them."""


def scaling_report(
    found: Mapping[str, Measurement], sizes: Sequence[int], work: Workload, optimizer: str, settings: Mapping[str, Any]
) -> Report:
    """Make the report.

    Args:
        found: measurements named `"KIND, BACKEND, LAW, ROWS rows"`.
        sizes: numbers of rows in ascending order.
        work: the workload that all sizes share but for `rows` and `law`.
        optimizer: the fused tables' optimizer.
        settings: the benchmark's settings.
    """
    bandwidth = measure_memory_bandwidth()
    distinct = {
        law: {rows: dataclasses.replace(work, rows=rows, law=law).distinct_rows() for rows in sizes} for law in LAWS
    }
    panels: dict[str, dict[str, dict[float, float]]] = {}
    for title in BACKENDS.values():
        for kind in KINDS:
            for law in LAWS:
                points = {
                    float(rows): 1e3 * one.seconds
                    for rows in sizes
                    if (one := found.get(_name(kind, title, law, rows))) is not None and one.ok
                }
                if points:
                    panels.setdefault(title, {})[kind if kind == "stock" else f"{kind}, {law} ids"] = points
    tables = [_times(found, sizes), _floors(work, sizes, distinct, bandwidth.gather, optimizer)]
    tables.append(_memory(found, sizes, work, optimizer))
    tables.append(_targets(found, sizes, work, optimizer))
    return Report(
        name="embedding_scaling",
        title="Embedding scaling",
        question=QUESTION.format(
            fields=work.fields,
            dim=work.embedding_dim,
            batch=work.batch_size,
            least=sizes[0],
            most=sizes[-1],
            optimizer=optimizer,
        ),
        tables=tables,
        measurements=found,
        settings=settings,
        notes=["Stock Keras reads its whole table in every step, whatever the ids are; its series has Zipf ids."],
        figure=line_figure(panels, "embedding rows", "ms per step") if panels else None,
        alt="Milliseconds per step against embedding rows, a panel per backend: fused, frozen and stock tables.",
        extra={"distinct_rows": distinct, "memory_bandwidth": dataclasses.asdict(bandwidth)},
    )


def _name(kind: str, title: str, law: str, rows: int) -> str:
    return f"{kind}, {title}, {law}, {rows:,} rows"


def _times(found: Mapping[str, Measurement], sizes: Sequence[int]) -> Table:
    columns = ["ms/step at … rows", *(f"{rows:,}" for rows in sizes), "largest ÷ smallest"]
    rows = []
    for title in BACKENDS.values():
        for kind in KINDS:
            for law in LAWS:
                series = [found.get(_name(kind, title, law, size)) for size in sizes]
                if not any(one is not None and one.ok for one in series):
                    continue
                cells = [f"{1e3 * one.seconds:.0f}" if one is not None and one.ok else "–" for one in series]
                measured = [one for one in series if one is not None and one.ok]
                ratio = time_ratio(measured[-1], measured[0]) if len(measured) > 1 else None
                rows.append([f"{kind}, {title}, {law}", *cells, str(ratio) if ratio else "–"])
    caption = "The ratio is between the largest and the smallest table measured, within rounds."
    return Table(columns, rows, "Step time", caption)


def _floors(
    work: Workload, sizes: Sequence[int], distinct: Mapping[str, Mapping[int, float]], gather: float, optimizer: str
) -> Table:
    row_bytes = 2 * 4 * work.embedding_dim * (1 + SLOTS[optimizer])
    rows = []
    for law in LAWS:
        rows.append([f"distinct rows per batch, {law}", *(f"{distinct[law][size]:,.0f}" for size in sizes)])
        times = (1e3 * distinct[law][size] * row_bytes / gather for size in sizes)
        rows.append([f"floor of the update, ms, {law}", *(f"{time:.2f}" for time in times)])
    caption = (
        f"The floor reads and writes those rows of the table and of its slots ({row_bytes:.0f} bytes per row) at "
        f"{gather / 1e9:.1f} GB/s, what NumPy reaches on one thread for rows gathered at random."
    )
    return Table(["at … rows", *(f"{size:,}" for size in sizes)], rows, "What a batch touches", caption)


def _memory(found: Mapping[str, Measurement], sizes: Sequence[int], work: Workload, optimizer: str) -> Table:
    rows = []
    for title in BACKENDS.values():
        for size in sizes[1:]:
            need = _need(work, size, sizes[0], optimizer)
            above = _above(found, title, size, sizes[0])
            if above is None:
                continue
            training, building = above
            rows.append(
                [
                    f"fused, {title}, {size:,}",
                    f"{need / 1e6:,.0f}",
                    f"{training / 1e6:,.0f}",
                    f"{training / need:.2f}",
                    f"{building / 1e6:,.0f}",
                    f"{building / need:.2f}",
                    f"{found[_name('fused', title, LAWS[0], size)].setup_seconds:.0f}",
                ]
            )
    columns = ["table", "table + slots, MB", "training, MB", "÷ need", "building, MB", "÷ need", "building, s"]
    caption = (
        f"Peak resident memory above that of the same process over {sizes[0]:,} rows, so that libraries, code, "
        "activations and the network's weights do not count; beside it the bytes of table and slots, above those "
        "of the same small table. The peaks of building and of training are counted apart. Under some hundred MB the "
        "allocators' slack of some ten MB shows."
    )
    return Table(columns, rows, "Peak memory (Zipf ids)", caption)


def _targets(found: Mapping[str, Measurement], sizes: Sequence[int], work: Workload, optimizer: str) -> Table:
    rows = []
    least, most = sizes[0], sizes[-1]
    for title in BACKENDS.values():
        for law in LAWS:
            large, small = found.get(_name("fused", title, law, most)), found.get(_name("fused", title, law, least))
            ratio = time_ratio(large, small) if large is not None and small is not None else None
            verdict = "not measured" if ratio is None else "yes" if ratio.median <= 1.15 else "**no**"
            what = f"{title}, {law}: time at {most:,} ÷ at {least:,} rows"
            rows.append([what, "≤ 1.15", str(ratio) if ratio else "–", verdict])
        above = _above(found, title, most, least)
        if above is None:
            rows.append([f"{title}: peak memory ÷ (table + slots)", "≤ 1.15", "–", "not measured"])
        else:
            share = max(above) / _need(work, most, least, optimizer)
            verdict = "yes" if share <= 1.15 else "**no**"
            rows.append([f"{title}: peak memory ÷ (table + slots)", "≤ 1.15", f"{share:.2f}", verdict])
    return Table(["what", "target", "measured", "reached"], rows, "Targets")


def _need(work: Workload, rows: int, least: int, optimizer: str) -> float:
    return 4.0 * work.embedding_dim * (rows - least) * (1 + SLOTS[optimizer])


def _above(found: Mapping[str, Measurement], title: str, rows: int, least: int) -> tuple[float, float] | None:
    """Peaks of training and of building, above those over the smallest table."""
    large, small = (found.get(_name("fused", title, LAWS[0], size)) for size in (rows, least))
    if large is None or small is None or not large.ok or not small.ok:
        return None
    return float(large.step_peak_bytes - small.step_peak_bytes), float(large.setup_peak_bytes - small.setup_peak_bytes)
