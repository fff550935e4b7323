"""Calibration of predictions, from sums per bin of the logit."""

import dataclasses

import numpy as np

WIDTH = 0.25
HALF_BINS = 66
EPSILON = 1e-7

# What a bin keeps, in this order.
FIELDS = ("weight", "labels", "probabilities", "logits", "squares")


@dataclasses.dataclass(frozen=True)
class LogitHistogram:
    """Weight, labels, probabilities and logits summed per bin of the logit, a quarter wide.

    Args:
        sums: `(bins, 5)`: Σw, Σwy, Σwp, Σwz, Σwz², bins with rows in them, in increasing order of the logit.

    Example:

    >>> p = np.array([0.1, 0.1, 0.8, 0.8])
    >>> histogram = LogitHistogram.of(np.array([0.0, 0.0, 1.0, 0.0]), p, np.ones(4))
    >>> round(histogram.expected_calibration_error(), 3)
    0.2
    """

    sums: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> "LogitHistogram":
        """The histogram of rows in memory."""
        bins = logit_bins(probabilities)
        z = logits_of(probabilities)
        values = np.stack([np.ones_like(labels), labels, probabilities, z, z**2], axis=1)
        sums = np.zeros((2 * HALF_BINS, len(FIELDS)))
        np.add.at(sums, bins + HALF_BINS, values * weights[:, None])
        return cls(sums[sums[:, 0] > 0])

    def curve(self, bins: int = 15) -> np.ndarray:
        """`(points, 3)`: mean prediction, rate and weight in bins of about equal weight."""
        shares = np.cumsum(self.sums[:, 0]) - 0.5 * self.sums[:, 0]
        groups = np.minimum((shares / max(self.sums[:, 0].sum(), 1e-300) * bins).astype(int), bins - 1)
        merged = np.zeros((bins, len(FIELDS)))
        np.add.at(merged, groups, self.sums)
        weight, labels, probabilities, *_ = merged[merged[:, 0] > 0].T
        return np.stack([probabilities / weight, labels / weight, weight], axis=1)

    def expected_calibration_error(self, bins: int = 15) -> float:
        """Mean distance between prediction and rate over bins of about equal weight (Naeini et al. 2015)."""
        predicted, rate, weight = self.curve(bins).T
        return float(np.sum(weight * np.abs(predicted - rate)) / weight.sum())

    def recalibrated_loss(self, cross_entropy: float) -> float | None:
        """Sum of the cross-entropies after one shift of all logits that makes Σp = Σy.

        The rest is what a model cannot tell apart; its overall error of the level is removed. A bin knows the mean and
        the spread of its logits, and of the loss only the difference that the shift makes is taken between bins, so
        that their width costs little.

        Args:
            cross_entropy: sum of the cross-entropies of the same rows as they are.

        Returns:
            The sum, `None` with one class only.
        """
        weight, labels, _, logits, squares = self.sums.T
        positives, total = labels.sum(), weight.sum()
        if not 0.0 < positives < total:
            return None
        mean = logits / weight
        spread = np.maximum(squares / weight - mean**2, 0.0)
        shift = 0.0
        for _ in range(50):  # Newton; the sum of sigmoids is monotone in the shift
            p = _sigmoid(mean + shift)
            slope = p * (1.0 - p)
            excess = weight @ (p + 0.5 * spread * slope * (1.0 - 2.0 * p)) - positives
            step = float(np.clip(excess / max(float(weight @ slope), 1e-12), -2.0, 2.0))
            shift -= step
            if abs(step) < 1e-10:
                break
        moved = weight @ (_mean_loss(mean + shift, spread) - _mean_loss(mean, spread))
        return float(cross_entropy + moved - shift * positives)


def _mean_loss(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Mean of log(1 + exp z) over logits of a mean and a variance, to second order."""
    p = _sigmoid(mean)
    return np.logaddexp(0.0, mean) + 0.5 * spread * p * (1.0 - p)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def logit_bins(probabilities: np.ndarray) -> np.ndarray:
    """The bin of each probability, an integer in `[-HALF_BINS, HALF_BINS)`.

    Example:

    >>> logit_bins(np.array([0.5, 0.9, 0.0])).tolist()
    [0, 8, -65]
    """
    return np.clip(np.floor(logits_of(probabilities) / WIDTH), -HALF_BINS, HALF_BINS - 1).astype("int32")


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, those of 0 and 1 clipped.

    Example:

    >>> logits_of(np.array([0.5, 0.9])).round(3).tolist()
    [0.0, 2.197]
    """
    clipped = np.clip(probabilities, EPSILON, 1.0 - EPSILON)
    return np.log(clipped) - np.log1p(-clipped)
