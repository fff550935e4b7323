"""How far two distributions lie apart, between 0 and 1."""

import numpy as np
from numpy.typing import ArrayLike


def jensen_shannon_divergence(reference: ArrayLike, current: ArrayLike) -> float:
    r"""The Jensen-Shannon divergence of counts by bin, in bits: 0 for equal shares, 1 where no bin is shared.

    Use it beside the population stability index where bins are empty on one side: it needs no smoothing, and it is
    bounded.

    With the shares $p_b$ and $q_b$ of the bins and $m_b = (p_b + q_b) / 2$,

    $$\mathrm{JS} = \frac{1}{2} \sum_b p_b \log_2 \frac{p_b}{m_b} + \frac{1}{2} \sum_b q_b \log_2 \frac{q_b}{m_b},$$

    where a share of 0 adds nothing.

    Args:
        reference: rows by bin in the reference, of shape `(bins,)`.
        current: rows by bin now, in the same bins.

    Raises:
        ValueError: on other shapes, counts that are no numbers of at least 0, or a side without rows.

    Example:

    >>> jensen_shannon_divergence([5, 5, 0], [0, 0, 9]), jensen_shannon_divergence([1, 3], [10, 30])
    (1.0, 0.0)

    Reference:
        Lin, *Divergence measures based on the Shannon entropy*, IEEE Transactions on Information Theory 37(1), 1991,
        with equal weights: equation 4.1.
    """
    p, q = (np.asarray(side, np.float64) for side in (reference, current))
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(
            "`reference` and `current` must hold the rows of the same bins, shape (bins,). "
            f"Received shapes: {p.shape} and {q.shape}."
        )
    for name, side in (("reference", p), ("current", q)):
        if not np.all(np.isfinite(side) & (side >= 0.0)) or side.sum() == 0.0:
            raise ValueError(f"`{name}` must be counts of at least 0 with at least one row. Received: {side.tolist()}.")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2.0
    halves = [np.sum(side[side > 0.0] * np.log2(side[side > 0.0] / middle[side > 0.0])) / 2.0 for side in (p, q)]
    return max(float(sum(halves)), 0.0)
