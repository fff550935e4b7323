"""Clicks weighted by how improbable they were."""

from typing import Any

import keras

from .counterfactual import Counterfactual, Impressions


@keras.saving.register_keras_serializable(package="grouprank")
class InversePropensity(Counterfactual):
    """The IPS regularizer of ESCM²: a conversion's cross entropy among clicks, each over its propensity.

    `1/|D| · Σ_D o · e(r, r̂) / max(ô, min_propensity)`, where `o` says whether the impression was clicked, `ô` is the
    model's probability of that, and `e` the cross entropy. If the propensities are right, its mean is the cross
    entropy over all impressions.

    The mean is over all impressions `D`, as in the paper. No gradient passes through the propensity.

    Args:
        weight: factor of the regularizer in each conversion's loss. Defaults to `0.1`.
        min_propensity: propensities below it are taken for it. Defaults to `0.01`.

    Raises:
        ValueError: on a negative weight, or a `min_propensity` outside `(0, 1]`.

    Example:

    >>> import numpy as np
    >>> clicked, label = np.array([1.0, 0.0]), np.array([1.0, np.nan])
    >>> cvr, propensity = np.zeros((2, 1)), np.zeros((2, 1))  # logits: each probability is a half
    >>> round(float(InversePropensity().loss(clicked, label, cvr, propensity)), 4)
    0.6931

    Reference:
        Wang et al., *ESCM²: Entire Space Counterfactual Multi-Task Model for Post-Click Conversion Rate Estimation*,
        [arXiv:2204.05125](https://arxiv.org/abs/2204.05125).
    """

    def of_rows(self, rows: Impressions) -> Any:
        """See `Counterfactual.of_rows`."""
        return rows.mean(rows.error * self.inverse(rows.propensity))
