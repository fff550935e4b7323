"""How far logits are off, as a piecewise-linear function of the logit."""

import numpy as np
from scipy.optimize import minimize

# Standard deviations of the prior: of the mean shift, and of how much the shift changes over one unit of the logit.
LEVEL_SCALE = 0.2
WALK_SCALE = 0.2
# The steepness that the map `z + shift(z)` keeps everywhere, so that it can be inverted.
LEAST_SLOPE = 0.1
# The least distance between two knots.
LEAST_GAP = 0.01
# Rows are averaged in this many bins of the logit. The map is linear between knots, so that nothing visible is lost.
_BINS = 4096


def fit_logit_shift(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, num_knots: int, strength: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Knots, and the shifts at them that make logits most probable, held back where rows are few.

    With `s(z)` linear between the knots `k_1 < … < k_K` and constant outside of them, the shifts minimize

        Σ w·(softplus(z + s(z)) − y·(z + s(z)))
          + strength · ((√(1 + (s̄/a)²) − 1) + Σ (s_{i+1} − s_i)² / (2·b²·(k_{i+1} − k_i)))

    under `1 + (s_{i+1} − s_i) / (k_{i+1} − k_i) ≥ 0.1`. `s̄` is the mean of the shifts, and `a = b = 0.2`. The second
    line is a prior: the mean shift is about 0.2, larger ones not being held back more than that, and the shift walks at
    random along the logit. Each knot has the same share of the information `w·p·(1 − p)`, which is about that of the
    positives of a rare outcome.

    Args:
        logits: float64 `(rows,)`.
        labels: in `[0, 1]`, `(rows,)`.
        weights: a weight of 2 counts as two rows, `(rows,)`.
        num_knots: number of knots, at least 2.
        strength: factor of the prior. Defaults to `1.0`.

    Returns:
        Knots and shifts, float32 `(num_knots,)`, the knots at least about 0.01 apart.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(-2.0, 1.0, 100_000)
    >>> y = rng.random(100_000) < 1 / (1 + np.exp(-(z + 0.5)))  # all predictions are too low
    >>> knots, shifts = fit_logit_shift(z, y, np.ones(100_000), num_knots=4)
    >>> bool(np.all(np.abs(shifts - 0.5) < 0.05))
    True
    """
    z, weight, positives = _binned(logits, labels, weights)
    knots = _place_knots(z, weight, num_knots)
    gaps = np.diff(knots)
    # The first shift, then each difference in units of its own scale, so that bounds are bounds of variables.
    scales = np.sqrt(gaps)
    shifts_of = np.tril(np.ones((num_knots, num_knots)))
    shifts_of[:, 1:] *= scales
    of_rows, mean_of = _interpolation(z, knots) @ shifts_of, shifts_of.mean(axis=0)
    total = weight.sum()

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        calibrated = z + of_rows @ x
        root = np.hypot(1.0, mean_of @ x / LEVEL_SCALE)
        walk = np.concatenate([[0.0], x[1:]]) / WALK_SCALE**2
        value = weight @ np.logaddexp(0.0, calibrated) - positives @ calibrated
        value += strength * (root - 1.0 + walk @ x / 2.0)
        # As exp(−log(1 + exp(−z))), since exp(−z) alone may overflow.
        slope = of_rows.T @ (weight * np.exp(-np.logaddexp(0.0, -calibrated)) - positives)
        slope += strength * (mean_of * (mean_of @ x) / (LEVEL_SCALE**2 * root) + walk)
        return float(value / total), slope / total

    bounds = [(None, None), *((-(1.0 - LEAST_SLOPE) * scale, None) for scale in scales)]
    found = minimize(
        loss,
        np.zeros(num_knots),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10},
    )
    return knots.astype("float32"), (shifts_of @ found.x).astype("float32")


def _binned(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean logit, weight and weight of the positives of each bin, in the order of the logits."""
    counts = weights > 0
    logits, labels, weights = logits[counts], labels[counts], weights[counts]
    order = np.argsort(logits, kind="stable")
    starts = np.unique(np.linspace(0, len(order), min(len(order), _BINS), endpoint=False).astype(int))
    sums = [np.add.reduceat(v[order], starts) for v in (weights * logits, weights, weights * labels)]
    return sums[0] / sums[1], sums[1], sums[2]


def _place_knots(z: np.ndarray, weight: np.ndarray, num_knots: int) -> np.ndarray:
    """Logits between which the rows have equal shares of the information, half a share outside."""
    information = weight * np.exp(-np.logaddexp(0.0, z) - np.logaddexp(0.0, -z))
    # Logits of hundreds have none.
    shares = np.cumsum(information + 1e-12 * weight)
    knots = np.interp((np.arange(num_knots) + 0.5) / num_knots, shares / shares[-1], z)
    # Where many logits are alike, knots would be: each keeps a distance from the one before.
    steps = LEAST_GAP * np.arange(num_knots)
    return np.maximum.accumulate(knots - steps) + steps


def _interpolation(z: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """`(rows, knots)`: how much of each knot's shift a logit gets."""
    columns = [np.interp(z, knots, unit) for unit in np.eye(len(knots))]
    return np.stack(columns, axis=1)
