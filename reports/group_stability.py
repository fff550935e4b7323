"""Whether other seeds find the same groups."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .group_recovery import prefix_groups

# The adjustment for chance takes time by the product of both sides' numbers of groups.
MAX_GROUPS = 2000


def group_stability(codes_by_seed: Sequence[ArrayLike]) -> list[float | None]:
    """Mean adjusted mutual information between the groups of all pairs of seeds, by prefix of levels.

    1 where two models cut the same rows into the same groups, whatever the codes are
    called; 0 on average for groups that have nothing to do with each other.

    Args:
        codes_by_seed: group ids `(rows, levels)` of the same rows by models of two seeds or more.

    Returns:
        One figure for level 1, one for levels 1 – 2, and so on; `None` where there are
        more than 2,000 groups.

    Raises:
        ValueError: on fewer than two seeds, or codes of different shapes.

    Example:

    >>> codes = np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
    >>> group_stability([codes, 1 - codes])
    [1.0, 1.0]

    Reference:
        Vinh et al., *Information theoretic measures for clusterings comparison*, JMLR 2010.
    """
    codes = [np.asarray(one) for one in codes_by_seed]
    if len(codes) < 2 or len({one.shape for one in codes}) > 1 or codes[0].ndim != 2:
        raise ValueError(
            "`codes_by_seed` must hold group ids (rows, levels) of the same rows by at least two models. "
            f"Received shapes: {[one.shape for one in codes]}."
        )
    # Imported here, since it takes longer than the rest of this room.
    from sklearn.metrics import adjusted_mutual_info_score

    found: list[float | None] = []
    for levels in range(1, codes[0].shape[1] + 1):
        groups = [prefix_groups(one, levels) for one in codes]
        if max(int(one.max()) + 1 for one in groups) > MAX_GROUPS:
            found.append(None)
            continue
        pairs = itertools.combinations(groups, 2)
        found.append(float(np.mean([adjusted_mutual_info_score(a, b) for a, b in pairs])))
    return found
