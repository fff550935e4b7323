"""Figures of a slice in one half."""

import dataclasses
from typing import Any

import numpy as np

from ..statistics import Estimate
from .ratios import EXCESS, CellSums


@dataclasses.dataclass(frozen=True)
class SliceFigures:
    """What one half says of a slice.

    Args:
        rows: labelled rows.
        users: buckets of users with rows.
        positives: sum of weighted labels.
        rate: mean label.
        entropies: NE of baseline and candidate, over the entropy of the slice's own rate.
        expected_entropy: of the objective `"excess"`, the NE that the candidate should have here; else `None`.
        effect: how much worse; 0 is no worse.
        beyond: how much worse than the rest of a parent, of that parent from which it stands out least.

    Example:

    ```python
    worst = gr.reports.discover_slices(frames, ["click"], ["baseline", "ours"], "user_id", ["tab", "hour"]).slices[0]
    print(worst.searched.effect.value, worst.confirmed.effect.value, worst.confirmed.effect.high)
    ```
    """

    rows: int
    users: int
    positives: float
    rate: float
    entropies: tuple[float, float]
    expected_entropy: float | None
    effect: Estimate
    beyond: Estimate

    @classmethod
    def of(cls, sums: CellSums, objective: str, effect: Estimate, beyond: Estimate) -> "SliceFigures":
        """Figures of the sums of a single cell."""
        weight, labels = float(sums.weight.sum()), float(sums.labels.sum())
        rate = labels / weight
        entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        before, after = (float(losses.sum() / weight / entropy) for losses in sums.losses)
        return cls(
            rows=int(sums.rows[0]),
            users=int(np.count_nonzero(sums.weight)),
            positives=labels,
            rate=rate,
            entropies=(before, after),
            expected_entropy=after - effect.value if objective == EXCESS else None,
            effect=effect,
            beyond=beyond,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        estimates = {"effect": self.effect.to_dict(), "beyond": self.beyond.to_dict()}
        return {**plain, "entropies": list(self.entropies), **estimates}
