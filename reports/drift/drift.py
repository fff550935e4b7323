"""Says which columns, learned groups and scores of a log have drifted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from ..population_stability import population_stability_index
from .column_profile import ColumnProfile
from .drift_report import ColumnDrift, DecileCalibration, DriftReport
from .jensen_shannon import jensen_shannon_divergence
from .log_profile import LogProfile

# New tokens that a report names.
SHOWN_TOKENS = 5


def drift(
    reference: Any,
    current: Any,
    scores: Mapping[str, str] | None = None,
    max_psi: float = 0.1,
    false_alarms: float = 0.05,
) -> DriftReport:
    r"""Compare a log with its reference: which columns, learned groups and scores have drifted, and is it calibrated?

    **What is named.** A part of the log has drifted if both hold:

    - its population stability index (PSI) is beyond chance: without drift, PSI over `1 / n + 1 / m` is about
      chi-squared with `bins - 1` degrees of freedom, for `n` values then and `m` now, and the p-value of that,
      corrected for the number of parts by Holm, is at most `false_alarms`;
    - its PSI is above `max_psi`, since with many rows any difference is beyond chance.

    A log of independent rows without drift therefore has anything named at a rate of at most `false_alarms`, and of far
    less where rows are many. Rows of one user are not independent, and days differ by nature (a Sunday is no Monday),
    so that the first condition alone would name too much on a real log. The second is what holds then: choose
    `max_psi` by what PSI is between good days.

    Calibration is shown by decile of the reference's scores where labels have arrived, with a 95 % interval, and names
    nothing.

    Args:
        reference: a `LogProfile`, such as an export keeps, or a frame to make one of.
        current: the log: a frame, an iterable of frames, or a `LogProfile` made by `reference.count`.
        scores: `{task: column of its scores}`, if the reference is a frame. Defaults to none.
        max_psi: the PSI up to which nothing is named. Defaults to 0.1.
        false_alarms: the rate of logs without drift of which anything is named. Defaults to 0.05.

    Raises:
        ValueError: on a log without rows, profiles of different bins, or limits out of range.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> before = {"bid": rng.gamma(2.0, size=5000), "os": rng.choice(["ios", "web"], 5000)}
    >>> now = {"bid": rng.gamma(2.0, size=2000) * 2.0, "os": rng.choice(["ios", "web"], 2000)}
    >>> drift(before, now).drifted
    ('bid',)

    Reference:
        Yurdakul and Naranjo, *Statistical properties of the population stability index*, Journal of Risk Model
        Validation 14(4), 2020. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
        Statistics 6(2), 1979.
    """
    if not (np.isfinite(max_psi) and max_psi >= 0.0):
        raise ValueError(f"`max_psi` must be a number of at least 0. Received: max_psi={max_psi!r}.")
    if not 0.0 < false_alarms < 1.0:
        raise ValueError(f"`false_alarms` must be between 0 and 1. Received: false_alarms={false_alarms!r}.")
    if not isinstance(reference, LogProfile):
        reference = LogProfile.fit(reference, scores)
    elif scores is not None:
        raise ValueError("`scores` is for a reference that is a frame; a profile has its own. Received both.")
    if isinstance(current, LogProfile):
        reference.check_same_bins(current)
    else:
        current = reference.count(current)
    if not (reference.rows and current.rows):
        raise ValueError(f"Both logs must have rows. Received: {reference.rows} then and {current.rows} now.")
    found, absent = [], []
    for (what, name), before in reference.parts.items():
        now = current.parts[what, name]
        if before.counts.sum() and now.counts.sum():
            found.append(_part(name, what, before, now))
        else:
            absent.append(name)
    corrected = _holm(np.array([part["p_value"] for part in found]))
    parts = [
        ColumnDrift(**part, corrected=float(p), drifted=bool(p <= false_alarms and part["psi"] > max_psi))
        for part, p in zip(found, corrected, strict=True)
    ]
    rows = (reference.rows, current.rows)
    return DriftReport(tuple(parts), _calibration(reference, current), rows, tuple(absent), max_psi, false_alarms)


def _part(name: str, what: str, before: ColumnProfile, now: ColumnProfile) -> dict[str, Any]:
    counts = (before.counts, now.counts)
    psi = population_stability_index(*counts)
    scale, freedom = sum(1.0 / side.sum() for side in counts), np.count_nonzero(sum(counts)) - 1
    p, q = (side / side.sum() for side in counts)
    # Half a row keeps an empty bin finite; this only finds the bin to show.
    smooth = [np.log(side / side.sum() + 0.5 / min(c.sum() for c in counts)) for side in counts]
    most = int(np.argmax((q - p) * (smooth[1] - smooth[0])))
    # Tokens of the reference's later frames are not new either.
    new = {token: rows for token, rows in now.new.items() if token not in before.new}
    new_values = sum(new.values()) if before.new else now.new_values
    return {
        "name": name,
        "what": what,
        "psi": psi,
        "chance": float(freedom * scale),
        "js": jensen_shannon_divergence(*counts),
        "p_value": float(stats.chi2.sf(psi / scale, freedom)) if freedom else 1.0,
        "missing": (float(p[0]), float(q[0])),
        "unknown": tuple(None if c.unknown is None else float(c.unknown / c.counts.sum()) for c in (before, now)),
        "new_share": None if before.known is None else float(new_values / now.counts.sum()),
        "new_tokens": tuple(new)[:SHOWN_TOKENS],
        "moved": before.labels[most],
        "shares": (float(p[most]), float(q[most])),
        "bins": tuple(zip(before.labels, *(side.tolist() for side in counts), strict=True)),
    }


def _holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's corrected p-values."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _calibration(reference: LogProfile, current: LogProfile) -> tuple[DecileCalibration, ...]:
    found = []
    for task, now in current.scores.items():
        then, labels = reference.scores[task], now.histogram.labels
        if not now.sums[0].any():
            continue
        for number in (None, *range(1, len(labels))):
            rows, score, rate = now.sums.sum(axis=(1, 2)) if number is None else now.sums[:, number].sum(axis=1)
            found.append(
                DecileCalibration(
                    task=task,
                    label="all" if number is None else labels[number],
                    rows=int(rows),
                    score=float(score / rows) if rows else None,
                    rate=float(rate / rows) if rows else None,
                    now=now.calibration(number),
                    then=then.calibration(number),
                )
            )
    return tuple(found)
