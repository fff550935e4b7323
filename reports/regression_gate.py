"""Rules that a candidate must not break."""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .statistics.prediction_sums import ALL_ROWS

# Names shown in a message about one that does not exist.
SHOWN = 20

PASSED, BROKEN, UNKNOWN = "passed", "broken", "insufficient data"


@dataclasses.dataclass(frozen=True)
class GateRule:
    """What must hold in some segments.

    Both limits ask for evidence: a rule is broken where the whole 95 % interval of users and seeds lies beyond the
    limit. For calibration this means that the estimate is outside the band and its interval does not reach the nearer
    edge of the band. So the noise of a small segment breaks no rule; the result says that it *may* be beyond the limit.

    Args:
        segments: `"SEGMENTATION/SEGMENT"` as the report names them, or `"all rows"`. Defaults to
            all rows.
        tasks: names of tasks. `None` takes all. Defaults to `None`.
        max_loss: largest loss in percent; the upper bound of the NE gain must not be below minus this.
            Defaults to `None`.
        calibration: `(low, high)`: the candidate's Σp / Σy must not be outside. Defaults to `None`.
        name: how it is called. Defaults to `""`.
        max_psi: largest population stability index of a part of the log, for a report of `drift`. It is broken by a PSI
            that is above it and beyond chance. Defaults to `None`.
        columns: columns, levels of groups and tasks that `max_psi` is for. `None` takes all. Defaults to `None`.

    Raises:
        ValueError: on a rule without a limit, or limits out of range.

    Example:

    >>> GateRule(("tab/tab=search",), max_loss=0.5, calibration=(0.9, 1.1)).segments
    ('tab/tab=search',)
    """

    segments: Sequence[str] = (ALL_ROWS,)
    tasks: Sequence[str] | None = None
    max_loss: float | None = None
    calibration: tuple[float, float] | None = None
    name: str = ""
    max_psi: float | None = None
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        shown = f"rule {self.name!r}" if self.name else "a rule"
        for field in ("segments", "tasks", "columns"):
            names = getattr(self, field)
            if names is None and field != "segments":
                continue
            if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
                raise ValueError(f"`{field}` of {shown} must be a list of names. Received: {names!r}.")
            object.__setattr__(self, field, tuple(names))
        if self.max_loss is None and self.calibration is None and self.max_psi is None:
            raise ValueError(
                f"{shown.capitalize()} needs `max_loss`, `calibration`, `max_psi` or several. Received none of them."
            )
        if self.max_psi is not None and not (_is_number(self.max_psi) and self.max_psi >= 0):
            raise ValueError(f"`max_psi` of {shown} must be a number, 0 or more. Received: {self.max_psi!r}.")
        if self.columns is not None and self.max_psi is None:
            raise ValueError(f"`columns` of {shown} says what `max_psi` is for. Received no `max_psi`.")
        if self.max_loss is not None and not (_is_number(self.max_loss) and self.max_loss >= 0):
            raise ValueError(f"`max_loss` of {shown} must be a percentage, 0 or more. Received: {self.max_loss!r}.")
        if self.calibration is not None:
            band = self.calibration
            two = isinstance(band, list | tuple) and len(band) == 2 and all(map(_is_number, band))
            if not two or not 0 <= band[0] < band[1]:
                raise ValueError(
                    f"`calibration` of {shown} must be two numbers, 0 <= low < high, e.g. (0.9, 1.1). "
                    f"Received: {band!r}."
                )
            object.__setattr__(self, "calibration", (band[0], band[1]))


@dataclasses.dataclass(frozen=True)
class GateCheck:
    """One limit of a rule, for one task in one segment.

    Args:
        rule: name of the rule.
        task: the task, or `"drift"`.
        segment: the segment, or the part of the log.
        status: `"passed"`, `"broken"` or `"insufficient data"`.
        finding: the figure, its interval and the limit in words.

    Example:

    >>> str(GateCheck("level", "click", "all rows", "passed", "calibration 1.010 (0.990 to 1.030)"))
    'level: click, all rows: calibration 1.010 (0.990 to 1.030)'
    """

    rule: str
    task: str
    segment: str
    status: str
    finding: str

    def __str__(self) -> str:
        name = f"{self.rule}: " if self.rule else ""
        return f"{name}{self.task}, {self.segment}: {self.finding}"


@dataclasses.dataclass(frozen=True)
class GateResult:
    """All checks. Made by `check_gate`.

    Args:
        checks: in the order of the rules.
        strict: whether insufficient data counts as broken.

    Example:

    ```python
    if not check_gate(report, [gr.reports.GateRule(max_loss=0.2)]).passed:
        raise SystemExit(1)
    ```
    """

    checks: tuple[GateCheck, ...]
    strict: bool = False

    @property
    def failures(self) -> tuple[GateCheck, ...]:
        """Checks that stop the candidate."""
        stops = (BROKEN, UNKNOWN) if self.strict else (BROKEN,)
        return tuple(check for check in self.checks if check.status in stops)

    @property
    def passed(self) -> bool:
        """Whether nothing stops it."""
        return not self.failures


def check_gate(
    report: Mapping[str, Any], rules: Sequence[GateRule], candidate: str | None = None, strict: bool = False
) -> GateResult:
    """Judge a candidate or a log by rules, from what reports say as dicts.

    Args:
        report: `GainTable.to_dict()`, `SegmentReport.to_dict()`, `DriftReport.to_dict()`, or several as
            `{"gains": ..., "segments": ..., "drift": ...}`, where segments may be a list, one a candidate.
        rules: what must hold.
        candidate: whose figures. `None` takes the only one. Defaults to `None`.
        strict: whether insufficient data counts as broken. Defaults to `False`.

    Raises:
        ValueError: where the report cannot be read, or has no such candidate, task, segment or column.

    Example:

    >>> gain = {"value": -0.02, "low": -0.03, "high": -0.01, "seed_error": 0.001}
    >>> entry = {"task": "click", "model": "ours", "gain": gain, "calibration": None}
    >>> result = check_gate({"baseline": "old", "gains": [entry]}, [GateRule(max_loss=0.2)])
    >>> result.passed, str(result.checks[0])
    (False, 'click, all rows: NE gain -2.000 % (-3.000 to -1.000), at least -0.2 % is asked for')
    """
    if not rules:
        raise ValueError("`rules` must hold at least one rule. Received none.")
    drifts = [rule for rule in rules if rule.max_psi is not None]
    checks = [check for rule in drifts for check in _drift_checks(rule, report)]
    rules = [rule for rule in rules if rule.max_loss is not None or rule.calibration is not None]
    if not rules:
        return GateResult(tuple(checks), strict)
    figures = _figures(report, candidate)
    tasks = list(dict.fromkeys(task for task, _ in figures))
    segments = list(dict.fromkeys(segment for _, segment in figures))
    for rule in rules:
        for segment in rule.segments:
            _check_known("segment", segment, segments)
        for task in tasks if rule.tasks is None else rule.tasks:
            _check_known("task", task, tasks)
            for segment in rule.segments:
                gain, calibration = figures.get((task, segment), (None, None))
                for status, finding in _findings(rule, gain, calibration):
                    checks.append(GateCheck(rule.name, task, segment, status, finding))
    return GateResult(tuple(checks), strict)


def _drift_checks(rule: GateRule, report: Mapping[str, Any]) -> list[GateCheck]:
    """A check of each part of the log that the rule is for."""
    found = report.get("drift")
    found = found if isinstance(found, Mapping) else report
    try:
        absent, rate = list(found["not_compared"]), float(found["false_alarms"])
        parts = [(part["name"], part["psi"], part["chance"], part["corrected"]) for part in found["drift"]]
        if not all(map(_is_number, [number for _, *numbers in parts for number in numbers])):
            raise ValueError(f"a part holds {parts}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            'A rule with `max_psi` needs what `DriftReport.to_dict` gives, alone or as {"drift": ...}. The report does '
            f"not hold it: {type(error).__name__}: {error}."
        ) from error
    for name in rule.columns or ():
        _check_known("column", name, [*(name for name, *_ in parts), *absent])
    checks = []
    asked = f"at most {rule.max_psi:g} is asked for"
    for name, psi, chance, p_value in parts:
        if rule.columns is None or name in rule.columns:
            above, beyond = psi > rule.max_psi, p_value <= rate
            note = "; above, but not beyond chance" if above and not beyond else ""
            finding = f"PSI {psi:.3f} ({chance:.3f} by chance), {asked}{note}"
            checks.append(GateCheck(rule.name, "drift", name, BROKEN if above and beyond else PASSED, finding))
    for name in absent:
        if rule.columns is not None and name in rule.columns:
            checks.append(GateCheck(rule.name, "drift", name, UNKNOWN, f"insufficient data for PSI, {asked}"))
    return checks


def _findings(rule: GateRule, gain: Any, calibration: Any) -> list[tuple[str, str]]:
    found = []
    if rule.max_loss is not None:
        asked = f"at least {-rule.max_loss:g} % is asked for"
        found.append(_judged("NE gain", gain, -rule.max_loss / 100, math.inf, asked, percent=True))
    if rule.calibration is not None:
        low, high = rule.calibration
        found.append(_judged("calibration", calibration, low, high, f"{low:g} to {high:g} is asked for"))
    return found


def _judged(what: str, estimate: Any, low: float, high: float, asked: str, percent: bool = False) -> tuple[str, str]:
    if estimate is None:
        return UNKNOWN, f"insufficient data for {what}, {asked}"
    value, below, above = (float(estimate[name]) for name in ("value", "low", "high"))
    shown = (f"{100 * v:+.3f}" if percent else f"{v:.3f}" for v in (value, below, above))
    text = "{} {}{} ({} to {}), {}".format(what, next(shown), " %" if percent else "", *shown, asked)
    if estimate.get("seed_error") is None:
        text += "; one seed, whose noise is not in the interval"
    if above < low or below > high:
        return BROKEN, text
    return PASSED, text if low <= value <= high else f"{text}; outside, but not with certainty"


def _figures(report: Mapping[str, Any], candidate: str | None) -> dict[tuple[str, str], tuple[Any, Any]]:
    """`{(task, segment): (gain, calibration)}` of the candidate."""
    try:
        tables, reports = _parts(report)
        entries = [(g["model"], g["task"], ALL_ROWS, g["gain"], g["calibration"]) for t in tables for g in t["gains"]]
        for of_one in reports:
            for s in of_one["segments"]:
                place = f"{s['segmentation']}/{s['segment']}"
                entries.append((of_one["candidate"], s["task"], place, s["gain"], s["calibrations"][1]))
        for *_, gain, calibration in entries:
            figures = [e[name] for e in (gain, calibration) if e is not None for name in ("value", "low", "high")]
            if not all(map(_is_number, figures)):
                raise ValueError(f"an estimate holds {figures}")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(
            "The report must be what `GainTable.to_dict` or `SegmentReport.to_dict` give, or both as "
            f'{{"gains": ..., "segments": ...}}. It is not: {type(error).__name__}: {error}.'
        ) from error
    names = list(dict.fromkeys(name for name, *_ in entries))
    if not entries:
        raise ValueError("The report holds no gains and no segments.")
    if candidate is None and len(names) > 1:
        raise ValueError(f"The report holds several candidates; choose one of them. Candidates: {names}.")
    if candidate is not None:
        _check_known("candidate", candidate, names)
    chosen = names[0] if candidate is None else candidate
    return {(task, place): (gain, calibration) for name, task, place, gain, calibration in entries if name == chosen}


def _parts(report: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Gain tables and segment reports in it."""
    gains, segments = report.get("gains", []), report.get("segments", [])
    if isinstance(gains, list) and gains and "baseline" in report:
        return [report], []
    if isinstance(segments, list) and "candidate" in report:
        return [], [report]
    return [gains] if gains else [], segments if isinstance(segments, list) else [segments]


def _check_known(what: str, name: str, known: Sequence[str]) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.5)
    ordered = [*close, *(other for other in known if other not in close)]
    more = f" and {len(ordered) - SHOWN} others" if len(ordered) > SHOWN else ""
    raise ValueError(f"The report has no {what} {name!r}. It has: {', '.join(map(repr, ordered[:SHOWN]))}{more}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
