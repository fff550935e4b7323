"""The page of the benchmark `loader`."""

from collections.abc import Mapping
from typing import Any

from ..support import Contender, Measurement, Ratio, Report, Table, bar_figure, time_ratio

QUESTION = """Does reading keep up with training, and does memory stay bounded?

The text has Criteo's layout: {rows:,} rows ({source}; the larger one {larger} times as many), with tokens never seen
before mixed in at the rate of the official file. `prepare` reads it twice: the first pass parses, checks and counts,
the second parses again, encodes {ids:,} ids and writes a file per split. "One core" is `workers=1` with one thread in
polars.

Growing ids begin with {growing_ids:,} tokens, and get as many rows at a time in random order, on one core: all of them
known and encoded, or all new and taken in by `extended`, with room for them or in place of others (`eviction="ttl"`).

Batches have {batch_size:,} rows, 39 columns and a label. "In order" and "shuffled" are our `PyDataset` over the
memory-mapped columns; `tf.data` and torch's `DataLoader` shuffle the same columns from memory, written as their
documentation does. "One Dense" is `model.fit` of one `Dense(1)` over all columns: what feeding costs inside Keras on a
backend; "one batch" gives it the same arrays at every step, so it is Keras' own share. DCNv2 is `CTRModel` (dim 16,
three cross layers beside 256 and 128 units, `compile` with Adam) trained from the loader: the rate to keep up with."""
TARGET = 5.0
ID_TARGETS = {"known tokens": 1_000_000, "new tokens": 300_000, "new tokens, full table": 300_000}


def loader_report(
    contenders: Mapping[str, Contender],
    found: Mapping[str, Measurement],
    settings: Mapping[str, Any],
    backends: Mapping[str, str],
) -> Report:
    """The report.

    Args:
        contenders: what was measured, by name.
        found: the measurements.
        settings: the benchmark's settings.
        backends: title by backend.
    """
    rows = {name: _rows_of_a_step(one, settings) for name, one in contenders.items()}
    speed = {name: rows[name] / one.seconds for name, one in found.items() if one.ok}

    def ratio(name: str, other: str) -> Ratio | None:
        """The ratio of rows per second to those of another."""
        if name not in found or other not in found:
            return None
        if _part_of(contenders[name]) == _part_of(contenders[other]):
            times = time_ratio(found[other], found[name])
            share = rows[name] / rows[other]
            return times and Ratio(times.median * share, times.low * share, times.high * share)
        if name not in speed or other not in speed:
            return None
        return Ratio(speed[name] / speed[other], *_extremes(found[name], found[other], rows[name] / rows[other]))

    tables = [
        _preparing(found, speed, ratio),
        _mapping(found, speed),
        _feeding(found, speed, ratio),
        _fitting(found, speed, ratio, backends),
        _targets(found, ratio, backends),
    ]
    kinds = {name: _kind(name) for name in speed}
    ranges = {
        name: (rows[name] / max(found[name].round_seconds), rows[name] / min(found[name].round_seconds))
        for name in speed
    }
    return Report(
        name="loader",
        title="Preparing and loading",
        question=QUESTION.format(**settings),
        tables=tables,
        measurements=found,
        settings=settings,
        notes=[
            "Preparing, feeding, `fit` of one Dense and DCNv2 take turns among themselves; ratios across these parts "
            "are ratios of medians, with the least and the greatest ratio of any two rounds.",
            "Peak memory is the resident set of the process, libraries included (about 0.3 GB). Own memory leaves out "
            "mapped files, whose pages the system drops when it needs them.",
            "Where other programs were busy on the machine, CPU seconds and ratios within a round are what can be "
            "trusted.",
        ],
        figure=bar_figure(speed, "rows per second", kinds, ranges, log=True) if speed else None,
        alt="Bars of rows per second by contender on a logarithmic axis; thin lines span the rounds.",
    )


def _rows_of_a_step(contender: Contender, settings: Mapping[str, Any]) -> int:
    if "batches" in contender.settings:
        return int(contender.settings["batches"] * contender.settings["batch_size"])
    if "tokens" in contender.settings:
        return int(contender.settings["tokens"])
    return int(settings["rows"] * (settings["larger"] if "larger" in contender.name else 1))


def _part_of(contender: Contender) -> tuple[str, bool]:
    return contender.target, contender.settings.get("model") == "dcn_v2"


def _extremes(one: Measurement, other: Measurement, share: float) -> tuple[float, float]:
    mine, theirs = one.round_seconds, other.round_seconds
    return share * min(theirs) / max(mine), share * max(theirs) / min(mine)


def _text(value: Ratio | None) -> str:
    return "–" if value is None else str(value)


def _preparing(found: Mapping[str, Measurement], speed: Mapping[str, float], ratio: Any) -> Table:
    rows = []
    for name, one in found.items():
        if not name.startswith(("prepare", "first", "second", "floor")):
            continue
        alone = name.replace("all cores", "one core")
        rows.append(
            (
                name,
                f"{speed[name]:,.0f}" if name in speed else "–",
                f"{one.seconds:.2f}" if one.ok else "–",
                _text(ratio(name, alone)) if alone != name else "",
                f"{one.facts.get('cpu seconds', 0):.2f}",
                f"{one.facts.get('main thread seconds', 0):.2f}",
                f"{one.peak_bytes / 1e9:.2f}" if one.ok else "–",
            )
        )
    columns = ["contender", "rows/s", "seconds", "× one core", "CPU seconds", "main thread", "peak memory, GB"]
    caption = (
        "CPU seconds are those of all threads, and of the main thread, whose work is in file order: however many cores "
        "there are, a pass takes at least that long, and on two free ones about half of the CPU seconds."
    )
    return Table(columns, rows, "Preparing", caption)


def _mapping(found: Mapping[str, Measurement], speed: Mapping[str, float]) -> Table:
    rows = []
    for name in found:
        if name.startswith("growing ids"):
            title, dtype = name.removeprefix("growing ids, ").rsplit(", ", 1)
            verdict = "not measured" if name not in speed else "yes" if speed[name] >= ID_TARGETS[title] else "**no**"
            tokens = f"{speed[name]:,.0f}" if name in speed else "–"
            rows.append((title, dtype, tokens, f"≥ {ID_TARGETS[title]:,}", verdict))
    return Table(["growing ids", "dtype", "tokens/s on one core", "target", "reached"], rows, "Growing ids")


def _feeding(found: Mapping[str, Measurement], speed: Mapping[str, float], ratio: Any) -> Table:
    rows = []
    for name, one in found.items():
        if not name.startswith(("loader", "tf.data", "torch")):
            continue
        own, growth = one.facts.get("own bytes", 0), one.facts.get("growth over an epoch", 0)
        rows.append(
            (
                name,
                f"{speed[name]:,.0f}" if name in speed else "–",
                _text(ratio("loader, shuffled", name)) if name != "loader, shuffled" else "",
                f"{own / 1e6:,.0f}" if one.ok else "–",
                f"{growth / 1e6:,.0f}" if one.ok and name.startswith("loader") else "–",
            )
        )
    columns = ["contender", "rows/s", "our shuffled loader, ×", "own memory, MB", "growth over an epoch, MB"]
    return Table(columns, rows, "Feeding, without a model")


def _fitting(
    found: Mapping[str, Measurement], speed: Mapping[str, float], ratio: Any, backends: Mapping[str, str]
) -> Table:
    rows = []
    for title in backends.values():
        names = [
            f"DCNv2, loader, {title}",
            *(f"one Dense, {kind}, {title}" for kind in ("loader", "arrays in memory", "one batch")),
        ]
        if any(name in found for name in names):
            cells = [f"{speed[name]:,.0f}" if name in speed else "–" for name in names]
            rows.append((title, *cells, _text(ratio(names[1], names[0]))))
    columns = ["rows/s", "DCNv2", "one Dense: loader", "arrays in memory", "one batch", "loader ÷ DCNv2"]
    return Table(columns, rows, "Feeding `fit`")


def _targets(found: Mapping[str, Measurement], ratio: Any, backends: Mapping[str, str]) -> Table:
    rows = []
    for title in backends.values():
        for what, name in (("loader alone, shuffled", "loader, shuffled"), ("in `fit`", f"one Dense, loader, {title}")):
            value = ratio(name, f"DCNv2, loader, {title}")
            verdict = "not measured" if value is None else "yes" if value.median >= TARGET else "**no**"
            rows.append((f"{what} ÷ DCNv2, {title}", f"≥ {TARGET:.0f}", _text(value), verdict))
    small, large = found.get("prepare, all cores"), found.get("prepare, larger text")
    if small and large and small.ok and large.ok and small.peak_bytes:
        growth = large.peak_bytes / small.peak_bytes
        rows.append(("peak memory of `prepare`, larger ÷ smaller text", "vocabularies only", f"{growth:.2f}", ""))
    return Table(["ratio", "target", "measured", "reached"], rows, "Targets")


def _kind(name: str) -> str:
    if name.startswith("floor"):
        return "floor"
    if name.startswith(("prepare", "first", "second")):
        return "preparing"
    if name.startswith("growing ids"):
        return "growing ids"
    if name.startswith("loader"):
        return "our loader"
    return "training DCNv2" if name.startswith("DCNv2") else "fit, one Dense" if "Dense" in name else "other loaders"
