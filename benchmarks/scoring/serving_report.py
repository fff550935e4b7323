"""The page of `serving`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..support.bar_figure import bar_figure
from ..support.measurement import Measurement
from ..support.report import Report, Table
from ..support.time_ratio import Ratio, time_ratio
from .saved_models import FLOAT32, IDS, RAW, STORED

FLAT, RANK = "serving_default", "rank"
RANK_TARGET, PREPROCESSING_TARGET, TARGET_SIZE = 0.6, 0.25, 500
PEERS = ("FuxiCTR predict", "DeepCTR predict", "DeepCTR predict_on_batch")
OURS = f"{FLAT}, {FLOAT32} table"

QUESTION = """What does a request for the scores of one user's ads take?

Exported models are run through TensorFlow's C library (`TF_SessionRun` on the SavedModel), as a server written in C++
runs them, one request at a time, all cores for it; the network and the server's protocol are not in the times. A
request begins with tensors in memory and ends with its scores copied.

**KuaiRand's columns**: the preset `{preset}` (embeddings of {preset_embedding_dim}, four tasks) on KuaiRand-Pure's 43
columns, 30 of the user, 2 of the context and 11 of the ad, on rows of the log. `serving_default` gets every column once
per ad, and `rank` gets the columns of the user and the context once. "{raw}" are the log's strings and numbers, turned
into ids and floats in the graph; "{ids}" is the same model exported without its transforms."""

NETWORK = """DCNv2 (three full-rank crosses beside dense layers 256 and 128) for one task, {fields} id columns, {rows:,}
embedding rows of {embedding_dim}. Ours is `serving_default` of the exported model; the others answer through their own
`predict`, one batch per request; DeepCTR's `predict` is Keras' loop over batches, and `predict_on_batch` is one
compiled call."""

REMARK = """`rank` embeds, groups and multiplies the user's columns once, and computes full-rank crosses by side
(`models/ranking/crosses_by_side.py`). The remaining work bounds the ratio: with embeddings of 16 and the groups' codes,
528 of the 720 inputs of the crosses are the request's. At 500 ads the multiplications of the model, with those done
once per request, are 0.58 of the flat ones (0.36 at 2,000). In both signatures, turning columns into
fields and the many small operations take about as long as a whole request for one ad. For a single ad `rank` costs
more than `serving_default`, so that `gr.serving.Client.rank` asks for that one. The `rank` of
the backbone `user_once_dcn`, which separates the sides, takes [less](user_once.md)."""

FEWER_BITS = """The same network with a fused table whose rows are kept as bfloat16, from training on
(`embedding_storage_dtype="bfloat16"`), and with tables that the export keeps in 8 or 4 bits a value
(`table_dtype="int8"`)."""


def serving_report(found: Mapping[str, Measurement], sizes: Sequence[int], settings: Mapping[str, Any]) -> Report:
    """Tables of latency, throughput and targets.

    Args:
        found: measurements by `"CONTENDER, CANDIDATES"`.
        sizes: candidates of a request.
        settings: of the benchmark.
    """
    values = {
        f"{signature}, {kind}, {size}": 1e3 * one.seconds
        for size in sizes
        for kind in (RAW, IDS)
        for signature in (FLAT, RANK)
        if (one := _of(found, f"{signature}, {kind}", size)) is not None
    }
    return Report(
        name="serving",
        title="Requests for scores",
        question=QUESTION.format(**settings, raw=RAW, ids=IDS),
        tables=[
            _signatures(found, sizes),
            _targets(found),
            _network(found, sizes, settings),
            _fewer_bits(found, sizes),
        ],
        measurements=found,
        settings=settings,
        figure=bar_figure(values, "ms per request", {name: name.split(",")[0] for name in values}, log=True, digits=1)
        if values
        else None,
        alt="Bars of milliseconds per request by signature, kind of columns and number of candidates.",
    )


def _signatures(found: Mapping[str, Measurement], sizes: Sequence[int]) -> Table:
    rows = []
    for size in sizes:
        for kind in (RAW, IDS):
            flat = _of(found, f"{FLAT}, {kind}", size)
            for signature in (FLAT, RANK):
                one = _of(found, f"{signature}, {kind}", size)
                ratio = "–" if signature == FLAT else _cell(_ratio(one, flat))
                rows.append((f"{size:,}", signature, kind, *_times(one, size), ratio))
    columns = ["candidates", "signature", "columns", "p50, ms", "p99, ms", "scores per second", f"× {FLAT}"]
    return Table(columns, rows, "KuaiRand's columns")


def _targets(found: Mapping[str, Measurement]) -> Table:
    raw, ids = (_of(found, f"{FLAT}, {kind}", TARGET_SIZE) for kind in (RAW, IDS))
    rank = _ratio(_of(found, f"{RANK}, {RAW}", TARGET_SIZE), raw)
    without = _ratio(ids, raw)
    share = None if without is None else Ratio(1 - without.median, 1 - without.high, 1 - without.low)
    rows = [
        (what, f"≤ {target:.2f}", _cell(value), _reached(value, target))
        for what, target, value in (
            (f"`rank` over `{FLAT}`", RANK_TARGET, rank),
            (f"preprocessing's share of `{FLAT}`", PREPROCESSING_TARGET, share),
        )
    ]
    columns = [f"at {TARGET_SIZE} candidates, {RAW}", "target", "measured", "reached"]
    return Table(columns, rows, "Targets", REMARK)


def _network(found: Mapping[str, Measurement], sizes: Sequence[int], settings: Mapping[str, Any]) -> Table:
    rows = []
    for size in sizes:
        ours = _of(found, OURS, size)
        for name in (OURS, *PEERS):
            one = _of(found, name, size)
            ratio = "–" if name == OURS else _cell(_ratio(one, ours))
            label = "grouprank, `serving_default`" if name == OURS else name
            rows.append((f"{size:,}", label, *_times(one, size), ratio))
    columns = ["candidates", "library", "p50, ms", "p99, ms", "scores per second", "× ours"]
    return Table(columns, rows, "The same network in other libraries", NETWORK.format(**settings))


def _fewer_bits(found: Mapping[str, Measurement], sizes: Sequence[int]) -> Table:
    rows = []
    for size in sizes:
        full = _of(found, OURS, size)
        for dtype in STORED:
            one = _of(found, f"{FLAT}, {dtype} table", size)
            ratio = "–" if dtype == FLOAT32 else _cell(_ratio(one, full))
            bytes_ = share = "–"
            if one is not None and full is not None:
                bytes_ = f"{one.facts['variables'] / 1e6:,.0f}"
                share = f"{one.facts['variables'] / full.facts['variables']:.1%}"
            rows.append((f"{size:,}", dtype, *_times(one, size)[:2], ratio, bytes_, share))
    columns = ["candidates", "table", "p50, ms", "p99, ms", "× float32", "variables, MB", "of float32"]
    return Table(columns, rows, "Tables in fewer bits", FEWER_BITS)


def _of(found: Mapping[str, Measurement], name: str, size: int) -> Measurement | None:
    one = found.get(f"{name}, {size}")
    return one if one is not None and one.ok else None


def _times(one: Measurement | None, size: int) -> tuple[str, str, str]:
    if one is None:
        return "–", "–", "–"
    times = np.concatenate([np.asarray(steps) for steps in one.rounds])
    p50, p99 = np.percentile(times, [50, 99])
    return f"{1e3 * p50:.2f}", f"{1e3 * p99:.2f}", f"{size / p50:,.0f}"


def _ratio(one: Measurement | None, other: Measurement | None) -> Ratio | None:
    return None if one is None or other is None else time_ratio(one, other)


def _cell(ratio: Ratio | None) -> str:
    return "–" if ratio is None else str(ratio)


def _reached(ratio: Ratio | None, target: float) -> str:
    return "not measured" if ratio is None else "yes" if ratio.median <= target else "**no**"
