"""A second tower for what would have come of impressions that were passed over."""

from typing import Any

import keras
from keras import ops

from ...losses.observed_loss import binary_crossentropy_from_logits
from .counterfactual import Counterfactual, Impressions


@keras.saving.register_keras_serializable(package="grouprank")
class TwinTowers(Counterfactual):
    """DCMT: a factual and a counterfactual rate, each learned in its own half of the impressions.

    The conversion's own tower gives the factual rate `r̂`, a twin of it the counterfactual one `r̂*`. Clicks `O` teach
    the first, weighted by `1/ô`. The impressions `N` without a click teach the second, weighted by `1/(1 − ô)`: none
    of them converted, so that their counterfactual label, which mirrors that, is 1. The two rates are held together
    by a prior, that they add up to 1:

        Σ_O e(r, r̂)/ô / Σ_O 1/ô  +  Σ_N e(1, r̂*)/(1 − ô) / Σ_N 1/(1 − ô)  +  λ/|D| · Σ_D |1 − (r̂ + r̂*)|

    `e` is the cross entropy and `ô` the propensity, clipped from below as `1 − ô` is, without a gradient. Both sums
    are self-normalized. Only the factual tower predicts; the twin exists in training only.

    Where the twin is right, the prior pulls the factual rate of an impression without a click towards 0. A large
    `prior_weight` therefore makes the rates low there.

    Args:
        weight: factor of the regularizer in each conversion's loss. Defaults to `0.1`.
        min_propensity: propensities below it, and their complements, are taken for it. Defaults to `0.01`.
        prior_weight: `λ`, factor of the prior beside the two cross entropies. Defaults to `0.001`.

    Raises:
        ValueError: on a negative weight, or a `min_propensity` outside `(0, 1]`.

    Example:

    >>> import numpy as np
    >>> clicked, label = np.array([1.0, 0.0]), np.array([1.0, np.nan])
    >>> cvr = np.zeros((2, 1))
    >>> output = np.zeros((2, 2))  # logit of the propensity, and the counterfactual logit: all are a half
    >>> round(float(TwinTowers().loss(clicked, label, cvr, output)), 4)
    1.3863

    Reference:
        Zhu et al., *DCMT: A Direct Entire-Space Causal Multi-Task Framework for Post-Click Conversion Estimation*,
        [arXiv:2301.06881](https://arxiv.org/abs/2301.06881).
    """

    head = "twin"

    def __init__(self, weight: float = 0.1, min_propensity: float = 0.01, prior_weight: float = 0.001) -> None:
        super().__init__(weight, min_propensity)
        if not prior_weight >= 0:
            raise ValueError(f"`prior_weight` must not be negative. Received: prior_weight={prior_weight!r}.")
        self.prior_weight = prior_weight

    def of_rows(self, rows: Impressions) -> Any:
        """See `Counterfactual.of_rows`."""
        factual = rows.mean(rows.error, rows.clicked * self.inverse(rows.propensity))
        mirrored = binary_crossentropy_from_logits(rows.head, 1.0)
        counterfactual = rows.mean(mirrored, rows.passed * self.inverse(1.0 - rows.propensity))
        prior = rows.mean(ops.abs(1.0 - (ops.sigmoid(rows.logit) + ops.sigmoid(rows.head))))
        return factual + counterfactual + self.prior_weight * prior

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "prior_weight": self.prior_weight}
