"""The sentence that a page begins with."""

from ..gain_table import Gain, GainTable
from ..names import listed, named
from .wording import counted, plus_minus, signed

_UNKNOWN = "insufficient data"
_COUNTED = {
    "better": "a gain",
    "worse": "a loss",
    "no difference seen": "no visible difference",
    _UNKNOWN: "too little data",
}


def lead(table: GainTable) -> str:
    """What was compared and the result, in one sentence that claims no more than the verdicts do.

    Args:
        table: gains of the candidates.

    Example:

    >>> from ..statistics import Estimate
    >>> gain = Gain("click", "ours", 0.8, Estimate(0.01, 0.0, 0.001, None, 50.0), None)
    >>> base = {"click": Gain("click", "base", 0.81, None, None)}
    >>> lead(GainTable("base", 1, {"click": 9000}, base, (gain,), {"click": 90.0}))
    'On click, ours was compared with base under one seed: its NE gain is +1.000 %, which one seed cannot tell from ...'
    """
    models = list(dict.fromkeys(gain.model for gain in table.gains))
    tasks = list(table.rows)
    on = f"On {named(tasks[0]) if len(tasks) == 1 else counted(len(tasks), 'task')}"
    if not models:
        return f"{on}, {_model(table.baseline)} was measured, and no candidate was compared with it."
    candidates = f"{_model(models[0])} was" if len(models) == 1 else f"{len(models)} candidates were"
    seeds = f"{table.seeds} paired seeds" if table.seeds > 1 else "one seed"
    compared = f"{on}, {candidates} compared with {_model(table.baseline)} under {seeds}"
    return f"{compared}: {_outcome(table.gains, table.seeds)}."


def _model(name: str) -> str:
    return f"the {name}" if name in ("baseline", "candidate") else named(name)


def _outcome(gains: tuple[Gain, ...], seeds: int) -> str:
    estimates = [gain.gain for gain in gains if gain.gain is not None]
    if not estimates:
        return "there are too few users, positives or negatives to say anything"
    if seeds == 1:
        values = [f"{signed(100 * value, 3)} %" for value in sorted(estimate.value for estimate in estimates)]
        if len(values) == 1:
            return f"its NE gain is {values[0]}, which one seed cannot tell from chance"
        return f"the NE gains lie from {values[0]} to {values[-1]}, which one seed cannot tell from chance"
    if len(gains) == 1:
        estimate, verdict = estimates[0], gains[0].verdict
        if verdict == "no difference seen":
            return f"no difference is seen (NE gain {plus_minus(estimate, 3)})"
        return f"it is {verdict} (NE gain {plus_minus(estimate, 3)})"
    verdicts = [gain.verdict for gain in gains]
    counts = {words: verdicts.count(verdict) for verdict, words in _COUNTED.items()}
    said = [f"{words} in {count or 'none'}" for words, count in counts.items() if count or words != _COUNTED[_UNKNOWN]]
    return f"among the {len(gains)} comparisons there is {listed(said)}"
