"""What has changed in a log since its reference."""

import dataclasses
from typing import Any

from ..markdown import markdown_table
from ..names import named
from ..statistics import Estimate

COLUMNS = (
    "name",
    "what",
    "verdict",
    "PSI",
    "what moved most",
    "missing, %",
    "unknown, %",
    "new tokens",
    "PSI by chance",
    "p, corrected",
    "JS",
)
# Those that hold words.
TEXTS = ("name", "what", "verdict", "what moved most", "new tokens")
CALIBRATION = ("score", "labelled rows", "mean score", "mean label", "calibration now", "calibration then")


@dataclasses.dataclass(frozen=True)
class ColumnDrift:
    """How far a column, a level of learned groups or a task's scores have moved.

    Args:
        name: of the column, or of the task.
        what: `"column"`, `"group"` or `"score"`.
        psi: the population stability index.
        chance: what PSI is on average without drift.
        js: the Jensen-Shannon divergence in bits.
        p_value: of so large a PSI without drift.
        corrected: the p-value, by Holm over all that is watched.
        missing: share of missing values, then and now.
        unknown: share of values that are not in the vocabulary, then and now; `None` where there is none.
        new_share: share of the values now whose token was not in the reference, or `None` where tokens are too many to
            know.
        new_tokens: the most frequent of these tokens.
        moved: the bin that adds most to PSI.
        shares: share of that bin, then and now.
        bins: what each bin holds, and its number of values then and now.
        drifted: whether it is named as drifted.
    """

    name: str
    what: str
    psi: float
    chance: float
    js: float
    p_value: float
    corrected: float
    missing: tuple[float, float]
    unknown: tuple[float | None, float | None]
    new_share: float | None
    new_tokens: tuple[str, ...]
    moved: str
    shares: tuple[float, float]
    bins: tuple[tuple[str, int, int], ...]
    drifted: bool

    def __str__(self) -> str:
        then, now = (f"{100 * share:.1f} %" for share in self.shares)
        kind = "" if self.what == "column" else f"{self.what} "
        moved = f"“{named(self.moved)}” went from {then} to {now}"
        return f"{kind}{named(self.name)}: PSI {self.psi:.3f} ({self.chance:.3f} by chance); {moved}"


@dataclasses.dataclass(frozen=True)
class DecileCalibration:
    """Calibration of the scores in one bin, or in all.

    Args:
        task: the task.
        label: the scores of the bin, or `"all"`.
        rows: labelled rows now.
        score: their mean score, `None` without rows.
        rate: their mean label, `None` without rows.
        now: Σ scores / Σ labels now, with its interval; `None` where too few labels are positive.
        then: the same in the reference.
    """

    task: str
    label: str
    rows: int
    score: float | None
    rate: float | None
    now: Estimate | None
    then: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        estimates = {
            name: None if one is None else one.to_dict() for name, one in (("now", self.now), ("then", self.then))
        }
        return {**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}, **estimates}


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """A log against its reference. Made by `drift`.

    Args:
        parts: an entry for each column, level of groups and task.
        calibration: an entry for each task and bin of scores with labels, and one for all.
        rows: of the reference, and of the log.
        not_compared: groups and tasks that the log does not hold.
        max_psi: the limit above which drift is named.
        false_alarms: the rate at which a log without drift has anything named.

    Example:

    >>> from grouprank.reports import drift
    >>> reference = {"os": ["ios", "web"] * 500, "tab": ["a", "b", "c", "d"] * 250}
    >>> print(drift(reference, {"os": ["ios"] * 300 + ["web"] * 700, "tab": ["a", "b", "c", "d"] * 250}))
    1 of 2 parts of the log has drifted (1,000 rows in the reference, 1,000 now; a limit of 0.1 for PSI):
    - os: PSI 0.169 (0.002 by chance); “ios” went from 50.0 % to 30.0 %
    """

    parts: tuple[ColumnDrift, ...]
    calibration: tuple[DecileCalibration, ...]
    rows: tuple[int, int]
    not_compared: tuple[str, ...]
    max_psi: float
    false_alarms: float

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of what has drifted, the most drifted first."""
        return tuple(part.name for part in self.ordered if part.drifted)

    @property
    def ordered(self) -> list[ColumnDrift]:
        """All parts, those that drifted first, and by PSI."""
        return sorted(self.parts, key=lambda part: (not part.drifted, -part.psi))

    @property
    def headline(self) -> str:
        """What was found, in a sentence."""
        then, now = self.rows
        count = len(self.drifted)
        found = f"{count or 'None'} of {len(self.parts)} parts of the log {'have' if count > 1 else 'has'} drifted"
        return f"{found} ({then:,} rows in the reference, {now:,} now; a limit of {self.max_psi:g} for PSI)"

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, `None` for what is undefined."""
        return {
            "drift": [dataclasses.asdict(part) for part in self.parts],
            "calibration": [one.to_dict() for one in self.calibration],
            "drifted": list(self.drifted),
            "rows": list(self.rows),
            "not_compared": list(self.not_compared),
            "max_psi": self.max_psi,
            "false_alarms": self.false_alarms,
        }

    def to_markdown(self) -> str:
        """The headline, a table of all parts, and one of the calibration of each task."""
        parts = [
            f"{self.headline}.",
            markdown_table(COLUMNS, map(drift_cells, self.ordered), [COLUMNS.index(name) for name in TEXTS]),
        ]
        for task in dict.fromkeys(one.task for one in self.calibration):
            rows = [calibration_cells(one) for one in self.calibration if one.task == task]
            parts += [f"### Calibration of {named(task)} by score", markdown_table(CALIBRATION, rows)]
        if self.not_compared:
            parts.append(f"Not in the log, so not compared: {', '.join(map(named, self.not_compared))}.")
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        lines = [f"- {part}" for part in self.ordered if part.drifted]
        return "\n".join([self.headline + (":" if lines else "."), *lines])


def drift_cells(part: ColumnDrift) -> tuple[str, ...]:
    """A part's cells as text, in the order of `COLUMNS`."""
    then, now = part.shares
    new = "–" if part.new_share is None else f"{100 * part.new_share:.1f} %"
    if part.new_tokens:
        new += f": {', '.join(part.new_tokens)}"
    return (
        part.name,
        part.what,
        "drifted" if part.drifted else "no drift",
        f"{part.psi:.4f}",
        f"{part.moved}: {100 * then:.1f} % → {100 * now:.1f} %",
        _then_now(*part.missing),
        _then_now(*part.unknown),
        new,
        f"{part.chance:.4f}",
        f"{part.corrected:.2g}",
        f"{part.js:.4f}",
    )


def calibration_cells(one: DecileCalibration) -> tuple[str, ...]:
    """A bin's cells as text, in the order of `CALIBRATION`."""
    means = ("–" if value is None else f"{value:.4g}" for value in (one.score, one.rate))
    ratios = ("–" if e is None else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in (one.now, one.then))
    return (one.label, f"{one.rows:,}", *means, *ratios)


def _then_now(then: float | None, now: float | None) -> str:
    if then is None and now is None:
        return "–"
    return " → ".join("–" if share is None else f"{100 * share:.1f}" for share in (then, now))
