"""Ratios of times that were taken in the same round."""

import dataclasses
import statistics

from .measurement import Measurement


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Median, least and greatest ratio over rounds. Made by `time_ratio`."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def time_ratio(numerator: Measurement, denominator: Measurement) -> Ratio | None:
    """Seconds of a step of one contender over those of another, within each round.

    A machine's speed drifts while a benchmark runs; both contenders of a round meet the same machine, so the ratio
    within a round is what can be trusted. `time_ratio(reference, mine)` says how many times faster mine is.

    Args:
        numerator: a contender's measurement.
        denominator: another's from the same run.

    Returns:
        The ratio, or `None` if one of them could not be measured.

    Example:

    >>> slow, fast = Measurement("slow", rounds=[[4.0], [8.0]]), Measurement("fast", rounds=[[2.0], [2.0]])
    >>> str(time_ratio(slow, fast))
    '3.00 (2.00–4.00)'
    """
    if not (numerator.ok and denominator.ok):
        return None
    ratios = [a / b for a, b in zip(numerator.round_seconds, denominator.round_seconds, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
