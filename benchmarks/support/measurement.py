"""What was measured of one contender."""

import dataclasses
import statistics
from typing import Any


@dataclasses.dataclass
class Measurement:
    """What was measured of one contender, round by round. Made by `run_rounds`.

    Args:
        name: the contender's name.
        rounds: seconds of every step, a list per round; a round's warm-up is left out.
        setup_seconds: seconds to build it, of the last time it was built.
        setup_peak_bytes: most memory held while building.
        step_peak_bytes: most memory held from the end of building to the last step.
        facts: what the contender says about itself.
        versions: versions of its packages.
        error: why it could not be measured, `None` if it could.
    """

    name: str
    rounds: list[list[float]] = dataclasses.field(default_factory=list)
    setup_seconds: float = 0.0
    setup_peak_bytes: int = 0
    step_peak_bytes: int = 0
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is anything to report."""
        return self.error is None and bool(self.rounds)

    @property
    def seconds(self) -> float:
        """Median seconds of a step over all rounds."""
        return statistics.median(step for steps in self.rounds for step in steps)

    @property
    def round_seconds(self) -> list[float]:
        """Median seconds of a step in each round."""
        return [statistics.median(steps) for steps in self.rounds]

    @property
    def peak_bytes(self) -> int:
        """Most memory that the process has held."""
        return max(self.setup_peak_bytes, self.step_peak_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, raw times to the microsecond included."""
        return {**dataclasses.asdict(self), "rounds": [[round(step, 6) for step in steps] for steps in self.rounds]}
