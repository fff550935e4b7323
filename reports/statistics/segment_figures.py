"""Figures of one task in one segment."""

import numpy as np

from .estimate import Estimate, ratio_estimate
from .prediction_sums import ALL_ROWS, PredictionSums


class SegmentFigures:
    """What the sums say of one task in one segment.

    Args:
        sums: predictions, added up.
        task: name of a task.
        segmentation: name of a segmentation. Defaults to `"all rows"`.
        segment: name of one of its segments. Defaults to `"all rows"`.

    Example:

    >>> import polars as pl
    >>> sums = PredictionSums(["click"], ["ours"], user="user")
    >>> sums.update(pl.DataFrame({"user": [1, 2], "click": [0.0, 1.0], "ours:click": [0.25, 0.75]}))
    >>> figures = SegmentFigures(sums, "click")
    >>> figures.rows, figures.rate, round(figures.normalized_entropy("ours"), 3)
    (2, 0.5, 0.415)
    """

    def __init__(self, sums: PredictionSums, task: str, segmentation: str = ALL_ROWS, segment: str = ALL_ROWS) -> None:
        self.sums, self.task, self.segmentation, self.segment = sums, task, segmentation, segment
        self._buckets = sums.by_bucket(task, segmentation, segment)
        self._seeds = sums.by_seed(task, segmentation, segment)

    @property
    def rows(self) -> int:
        """Labelled rows, in one seed."""
        return int(self._seeds["rows"].sum()) // len(self.sums.seeds)

    @property
    def users(self) -> int:
        """Number of user buckets that have rows; intervals are computed from these."""
        return int(np.count_nonzero(self._buckets["weight"]))

    @property
    def positives(self) -> float:
        """Sum of weighted labels, in one seed."""
        return float(self._seeds["labels"].sum()) / len(self.sums.seeds)

    @property
    def share(self) -> float:
        """Share of all rows' weight."""
        return float(self._seeds["weight"].sum() / self.sums.by_seed(self.task)["weight"].sum())

    @property
    def rate(self) -> float | None:
        """Mean label, `None` without rows."""
        weight = self._seeds["weight"].sum()
        return float(self._seeds["labels"].sum() / weight) if weight else None

    @property
    def _own_entropy(self) -> float:
        return _entropy(self._seeds["labels"].sum(), self._seeds["weight"].sum())

    def loss(self, model: str) -> float:
        """Sum of a model's cross-entropies over all seeds."""
        return float(self._seeds[f"ce:{model}"].sum())

    def normalized_entropy(self, model: str, own: bool = True) -> float | None:
        """Cross-entropy over the entropy of the segment's own rate, or (`own=False`) of all rows'.

        The segment's own tells how much of what there is to know here a model knows;
        all rows' tells which segments make up the whole's NE, and compares them.
        """
        whole = self.sums.by_seed(self.task)
        entropy = self._own_entropy if own else _entropy(whole["labels"].sum(), whole["weight"].sum())
        return self._normalized(self.loss(model), entropy)

    def recalibrated_entropy(self, model: str) -> float | None:
        """NE (own) after one shift of the segment's logits that makes Σp = Σy: what ranking, not level, leaves."""
        loss = self.sums.histogram(model, self.task, self.segmentation, self.segment).recalibrated_loss(
            self.loss(model)
        )
        return None if loss is None else self._normalized(loss, self._own_entropy)

    def _normalized(self, loss: float, entropy: float) -> float | None:
        weight = self._seeds["weight"].sum()
        return float(loss / weight / entropy) if weight and entropy else None

    def gain(self, model: str, baseline: str) -> Estimate | None:
        """Relative NE gain over a baseline; `None` with one class only, or where fewer than two buckets have rows."""
        return self._ratio(f"ce:{model}", f"ce:{baseline}", gain=True) if self._own_entropy else None

    def calibration(self, model: str) -> Estimate | None:
        """Σp / Σy; `None` without positives."""
        if not self._seeds["labels"].sum():
            return None
        return self._ratio(f"p:{model}", "labels")

    def _ratio(self, numerator: str, denominator: str, gain: bool = False) -> Estimate | None:
        buckets, seeds = self._buckets, self._seeds
        return ratio_estimate(buckets[numerator], buckets[denominator], seeds[numerator], seeds[denominator], gain=gain)

    def expected_calibration_error(self, model: str) -> float | None:
        """Mean distance between prediction and rate over 15 bins; `None` without rows. All seeds together."""
        histogram = self.sums.histogram(model, self.task, self.segmentation, self.segment)
        return histogram.expected_calibration_error() if len(histogram.sums) else None


def _entropy(labels: float, weight: float) -> float:
    """Entropy of a rate in nats, 0 for one class only or no rows."""
    if not 0.0 < labels < weight:
        return 0.0
    rate = labels / weight
    return float(-(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate)))
