"""The loss of a two-tower model, which finds the clicked ad among the ads of the batch."""

from typing import Any

import keras
import keras_rs
from keras import ops

# Far below any score, and far from float32's end.
NEVER = -1e30


@keras.saving.register_keras_serializable(package="grouprank")
class InBatchSoftmax(keras.layers.Layer):
    """Cross entropy of each row's own ad among all ads of the batch.

    With user vectors `u`, ad vectors `v`, sampling probabilities `q` and weights `w`:

        s[i, j] = u[i] · v[j] / temperature − log q[j]
        loss    = Σ w[i] · (logsumexp_j s[i, j] − s[i, i]) / Σ w[i]

    Where row `j ≠ i` has the same ad as row `i`, it is an accidental hit, not a
    negative, and is left out. (`RemoveAccidentalHits` of keras-rs 0.4.0 does not
    change scores, since it adds 1e-40.) Rows of weight 0 have no loss, but their ads
    are candidates of the other rows.

    Args:
        temperature: divisor of the products. Defaults to `0.05`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        users: the rows' user vectors.
        ads: the rows' ad vectors.
        ad_ids: integer ids of the ads.
        weight: non-negative weights of the rows.
        probability: sampling probabilities of the ads in `(0, 1]`, or `None` for no
            correction. Defaults to `None`.

    Input shape:
        `(batch, dim)` vectors; `(batch,)` or `(batch, 1)` for the others.

    Output shape:
        Scalar; 0 where no row counts.

    Raises:
        ValueError: on a temperature that is not positive.

    Example:

    >>> import numpy as np
    >>> u = v = np.eye(3, dtype="float32")
    >>> layer = InBatchSoftmax(temperature=1.0)
    >>> round(float(layer(u, v, np.array([4, 5, 6]), np.ones(3))), 4)
    0.5514
    >>> round(float(layer(u, v, np.array([4, 5, 5]), np.array([0.0, 1.0, 0.0]))), 4)
    0.3133

    Reference:
        Yi et al., *Sampling-bias-corrected neural modeling for large corpus item recommendations*, 2019, §3.
    """

    def __init__(self, temperature: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}.")
        self.temperature = temperature
        # The layer's own floor of 1e-6 would cut off the correction of every rare ad of a large corpus.
        self.correction = keras_rs.layers.SamplingProbabilityCorrection(epsilon=1e-30, dtype=self.dtype_policy)
        self.built = True  # without weights

    def scores(self, users: Any, ads: Any, ad_ids: Any) -> Any:
        """Score of every ad of the batch for every user, `(batch, batch)`; accidental hits have `NEVER`."""
        scores = ops.matmul(users, ops.transpose(ads)) / self.temperature
        ids = ops.reshape(ad_ids, (-1,))
        rows = ops.arange(ops.shape(ids)[0])
        same_ad = ops.expand_dims(ids, 1) == ops.expand_dims(ids, 0)
        other_row = ops.expand_dims(rows, 1) != ops.expand_dims(rows, 0)
        return ops.where(ops.logical_and(same_ad, other_row), ops.cast(NEVER, scores.dtype), scores)

    def call(self, users: Any, ads: Any, ad_ids: Any, weight: Any, probability: Any = None) -> Any:
        """Weighted mean of the rows' cross entropies."""
        scores = self.scores(users, ads, ad_ids)
        if probability is not None:
            scores = self.correction(scores, ops.reshape(probability, (1, -1)))
        losses = ops.logsumexp(scores, axis=-1) - ops.diagonal(scores)
        weight = ops.reshape(ops.cast(weight, losses.dtype), (-1,))
        total = ops.sum(weight)
        return ops.sum(ops.where(weight > 0, losses, 0.0) * weight) / ops.where(total > 0, total, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "temperature": self.temperature}
