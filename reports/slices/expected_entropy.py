"""What cross-entropy a slice of some rate should have."""

import dataclasses
import functools

import numpy as np

SPREADS = np.linspace(0.0, 6.0, 61)
LOG_ODDS = np.linspace(-16.0, 16.0, 321)


@dataclasses.dataclass(frozen=True)
class ExpectedEntropy:
    """Cross-entropy of cells of different rates, were they all known equally well.

    Raw cross-entropy is high where the rate is near one half. With normalized entropy it is the other way round: the
    same knowledge of the logit saves a smaller share of the entropy of a rare label (logits of standard deviation 1
    give NE 0.865 at a rate of 50 % and 0.914 at 1 %). So neither of them shows which cell is known badly. Here
    knowledge is the **spread of the logits**: a calibrated model whose logits are normal within each cell, with one
    standard deviation for all of them, is asked what it would save in each, and the standard deviation is chosen so
    that the savings add up to the true ones. Since each cell is measured from its own rate, what a model knows about
    differences *between* cells counts nowhere.

    Args:
        saved: nats per unit of weight that each cell is expected to save on the entropy of its rate.
        slopes: nats that each cell as a whole would save in addition, per unit of the standard
            deviation; zeros where it could not be fitted (cells that together save nothing).

    Example:

    >>> rates, weights = np.array([0.5, 0.05]), np.array([100.0, 900.0])
    >>> found = ExpectedEntropy.fit(rates, weights, saved=40.0)
    >>> round(float(found.saved @ weights), 6), found.saved.round(4).tolist()
    (40.0, [0.1255, 0.0305])
    """

    saved: np.ndarray
    slopes: np.ndarray

    @classmethod
    def fit(cls, rates: np.ndarray, weights: np.ndarray, saved: float) -> "ExpectedEntropy":
        """Find the spread of logits under which cells save so many nats together.

        Args:
            rates: mean label of each cell, strictly between 0 and 1.
            weights: weight of each cell.
            saved: Σ over rows of the cross-entropy of their cell's rate, less that of the model.
        """
        places = np.clip(
            (np.log(rates) - np.log1p(-rates) - LOG_ODDS[0]) / (LOG_ODDS[1] - LOG_ODDS[0]), 0, len(LOG_ODDS) - 1.001
        )
        left = places.astype(int)
        right = places - left
        table = _saved_shares()
        entropies = -(rates * np.log(rates) + (1.0 - rates) * np.log1p(-rates))
        nats = (table[:, left] * (1.0 - right) + table[:, left + 1] * right) * entropies
        totals = nats @ weights
        if not totals[0] < saved < totals[-1]:
            return cls(nats[0 if saved <= totals[0] else -1], np.zeros_like(rates))
        below = int(np.searchsorted(totals, saved, side="right")) - 1
        part = (saved - totals[below]) / (totals[below + 1] - totals[below])
        step = nats[below + 1] - nats[below]
        return cls(nats[below] + part * step, step * weights / (SPREADS[1] - SPREADS[0]))


@functools.lru_cache(maxsize=1)
def _saved_shares() -> np.ndarray:
    """Share of the entropy that normal logits save, `(spreads, log odds of the rate)`."""
    normal = np.linspace(-6.0, 6.0, 161)
    density = np.exp(-0.5 * normal**2)
    density /= density.sum()
    middles = np.linspace(-48.0, 48.0, 385)
    shares = np.zeros((len(SPREADS), len(LOG_ODDS)))
    for number, spread in enumerate(SPREADS[1:], start=1):
        z = middles[:, None] + spread * normal
        rate = (1.0 / (1.0 + np.exp(-z))) @ density
        # log(1 + exp z) - p z is the entropy of p, exact in the tails.
        left = (np.logaddexp(0.0, z) - z / (1.0 + np.exp(-z))) @ density
        rare = np.minimum(rate, (1.0 / (1.0 + np.exp(z))) @ density)
        entropy = -(rare * np.log(rare) + (1.0 - rare) * np.log1p(-rare))
        log_odds = np.sign(middles) * (np.log1p(-rare) - np.log(rare))
        shares[number] = np.interp(LOG_ODDS, log_odds, 1.0 - left / entropy)
    return shares
