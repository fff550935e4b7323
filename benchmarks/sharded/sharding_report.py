"""The report of `sharding`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..dcn.workload import Workload
from ..support import Measurement, Report, Table, time_ratio

QUESTION = """What does a device hold, compute and send when the rows of a table are dealt over several devices?

DCNv2 of [training_throughput](training_throughput.md) ({fields} fields of width {dim}, {batch} rows of a batch *for
each device*) over tables of {rows:,} rows in all, on JAX with `keras.distribution`, on virtual devices of one machine.
"Ours" is a fused table with `placement="rows"` and row-wise Adagrad; "GSPMD" is a `keras.layers` table whose rows JAX's
partitioner cuts up, trained by `SGD`, which has no slots. The virtual devices share the cores, so times say nothing
about devices of their own. What each of them has to do is counted in its compiled program."""


def sharding_report(
    found: Mapping[str, Measurement], devices: Sequence[int], work: Workload, settings: Mapping[str, Any]
) -> Report:
    """Make the report.

    Args:
        found: measurements named `"TABLE, DEVICES"`.
        devices: numbers of devices.
        work: the workload of one device.
        settings: the benchmark's settings.
    """
    slots = {"ours": 1 + 1 / work.embedding_dim, "gspmd": 1.0}
    work_rows, time_rows = [], []
    for table, title in (("ours", "ours"), ("gspmd", "GSPMD")):
        for number in devices:
            one = found[f"{table}, {number}"]
            if not one.ok:
                continue
            facts = one.facts
            share = slots[table] * work.table_bytes / number
            sent = facts["row bytes"] + (facts["other bytes"] if table == "gspmd" else 0)
            work_rows.append(
                [
                    f"{title}, {number}",
                    f"{share / 2**20:,.0f}",
                    f"{(facts['state bytes'] + facts['temporary bytes']) / 2**20:,.0f}",
                    f"{facts['flops'] / 1e6:,.0f}",
                    f"{facts['distinct rows']:,.0f}",
                    f"{facts['rounds']}" if table == "ours" and number > 1 else "-",
                    f"{sent / 2**20:.2f}" if number > 1 else "-",
                    f"{sent / facts['needed bytes']:.2f}" if number > 1 else "-",
                ]
            )
            alone = found[f"{table}, 1"]
            time_rows.append(
                [
                    f"{title}, {number}",
                    f"{1e3 * one.seconds:.0f}",
                    f"{1e3 * one.seconds / number:.0f}",
                    str(time_ratio(one, alone)) if alone.ok else "-",
                ]
            )
    tables = [
        Table(
            [
                "table, devices",
                "table and slots / N (MiB)",
                "held by a device (MiB)",
                "flops of a device (10⁶)",
                "distinct rows of its part",
                "rounds",
                "sent for rows (MiB)",
                "of what they need",
            ],
            work_rows,
            "Work of one device",
            "Bytes sent are the results of exchanges in the compiled program, times the rounds of the first batch. "
            "What distinct rows need is their numbers there, the rows back and their gradients there. For GSPMD all "
            "exchanges count, and those of the dense weights among them.",
        ),
        Table(
            ["table, devices", "step (ms)", "step / devices (ms)", "times that of one device"],
            time_rows,
            "Time on shared cores",
        ),
    ]
    question = QUESTION.format(fields=work.fields, dim=work.embedding_dim, batch=work.batch_size, rows=work.rows)
    return Report("sharding", "Tables over several devices", question, tables, found, settings)
