"""How far a distribution has moved from another one."""

import numpy as np
from numpy.typing import ArrayLike


def population_stability_index(reference: ArrayLike, current: ArrayLike, smoothing: float = 0.5) -> float:
    r"""The population stability index (PSI) of counts by bin: 0 where both have the same shares, else above 0.

    Use it to watch a column, a score or a learned group: count what falls into each bin in a reference period and now.
    By a rule of thumb, less than 0.1 is no drift to speak of, and more than 0.25 is a large one (Siddiqi 2006). Rows
    without drift are above 0 by chance: on average by about `(bins - 1) * (1 / reference rows + 1 / current rows)`.

    With the shares $p_b$ and $q_b$ of the bins, $\mathrm{PSI} = \sum_b (q_b - p_b) \ln(q_b / p_b)$, which is Jeffreys'
    divergence. So that a bin that is empty on one side stays finite, both shares of each bin are
    $(p_b + \varepsilon) / (1 + B \varepsilon)$, where $\varepsilon$ is the share that `smoothing` rows have of the
    smaller sample. Equal shares therefore give 0 whatever the numbers of rows are. Bins that are empty on both sides
    do not count.

    Args:
        reference: rows by bin in the reference, of shape `(bins,)`.
        current: rows by bin now, in the same bins.
        smoothing: rows of the smaller sample that each bin is given. With 0, a bin that is empty on one side gives
            infinity. Defaults to 0.5.

    Raises:
        ValueError: on other shapes, counts that are no numbers of at least 0, or a side without rows.

    Example:

    >>> round(population_stability_index([50, 50], [75, 25], smoothing=0), 4)
    0.2747
    >>> population_stability_index([90, 10, 0], [9, 1, 0])
    0.0

    Reference:
        Siddiqi, *Credit Risk Scorecards*, 2006. Yurdakul and Naranjo, *Statistical properties of the population
        stability index*, Journal of Risk Model Validation 14(4), 2020: its mean and distribution without drift.
    """
    counts = [np.asarray(side, np.float64) for side in (reference, current)]
    if counts[0].ndim != 1 or counts[0].shape != counts[1].shape:
        raise ValueError(
            "`reference` and `current` must hold the rows of the same bins, shape (bins,). "
            f"Received shapes: {counts[0].shape} and {counts[1].shape}."
        )
    for name, side in zip(("reference", "current"), counts, strict=True):
        if not np.all(np.isfinite(side) & (side >= 0.0)) or side.sum() == 0.0:
            raise ValueError(f"`{name}` must be counts of at least 0 with at least one row. Received: {side.tolist()}.")
    if not np.isfinite(smoothing) or smoothing < 0.0:
        raise ValueError(f"`smoothing` must be a number of at least 0. Received: smoothing={smoothing!r}.")
    used = (counts[0] > 0.0) | (counts[1] > 0.0)
    share = smoothing / min(side.sum() for side in counts)
    p, q = ((side[used] / side.sum() + share) / (1.0 + share * np.count_nonzero(used)) for side in counts)
    with np.errstate(divide="ignore"):
        return float(np.sum((q - p) * (np.log(q) - np.log(p))))
