"""Errors that are imputed where they are not observed."""

from typing import Any

import keras
from keras import ops

from .counterfactual import Counterfactual, Impressions


@keras.saving.register_keras_serializable(package="grouprank")
class DoublyRobust(Counterfactual):
    """The DR regularizer of ESCM²: a head imputes each impression's error, and the clicks correct it.

    With the cross entropy `e` of a clicked impression, the imputed one `ê` of every impression and the propensity
    `ô`, clipped from below: `1/|D| · Σ_D [ê + o · (e − ê) / ô]`, plus `1/|D| · Σ_D o · (e − ê)² / ô`, from which the
    head learns. The first sum has the mean of the cross entropy over all impressions if either the propensities or
    the imputed errors are right.

    The head is a tower like those of the tasks and exists in training only. A cross entropy is not negative, so we
    take the softplus of what the head gives. No gradient passes through the propensity; both sums are minimized in
    the conversion's tower and in the head at once, as the authors' code does. The head does not read the prediction
    `r̂`. The conversion's tower therefore learns from clicks alone, and what the other impressions teach reaches it
    through the shared layers.

    Args:
        weight: factor of the regularizer in each conversion's loss. Defaults to `0.1`.
        min_propensity: propensities below it are taken for it. Defaults to `0.01`.

    Raises:
        ValueError: on a negative weight, or a `min_propensity` outside `(0, 1]`.

    Example:

    >>> import numpy as np
    >>> clicked, label = np.array([1.0, 0.0]), np.array([1.0, np.nan])
    >>> cvr = np.zeros((2, 1))
    >>> output = np.zeros((2, 2))  # logit of the propensity, and the head: errors of log(2) are imputed
    >>> round(float(DoublyRobust().loss(clicked, label, cvr, output)), 4)
    0.6931

    Reference:
        Wang et al., *ESCM²: Entire Space Counterfactual Multi-Task Model for Post-Click Conversion Rate Estimation*,
        [arXiv:2204.05125](https://arxiv.org/abs/2204.05125).
    """

    head = "imputation"

    def of_rows(self, rows: Impressions) -> Any:
        """See `Counterfactual.of_rows`."""
        imputed = ops.softplus(rows.head)
        missed = rows.clicked * (rows.error - imputed)
        return rows.mean(imputed + (missed + ops.square(missed)) * self.inverse(rows.propensity))
