"""Probability of two outcomes together, from their logits."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class JointLogit(keras.layers.Layer):
    """Logit of `p(parent) · p(child | parent)` from the logits of both.

    The entire-space models (ESMM) train on this product over all impressions. It
    is as small as 1e-7 in practice. If the probabilities were multiplied, `1 − p`
    would round to 1 and the gradient would be lost. Its odds are `1 / (e⁻ᵃ + e⁻ᵇ + e⁻ᵃ⁻ᵇ)`, so that its
    logit is a `logsumexp`, exact for logits of any size.

    Args:
        **kwargs: base layer keywords such as `name`. The result is float32 under
            every dtype policy.

    Call arguments:
        parent: logits of the parent outcome.
        child: logits of the child given the parent.

    Input shape:
        Twice `(batch, 1)`, or any equal shapes.

    Output shape:
        The shape of the inputs.

    Example:

    >>> import numpy as np
    >>> joint = JointLogit()(np.array([[0.0]], "float32"), np.array([[0.0]], "float32"))
    >>> round(float(1 / (1 + np.exp(-float(joint[0, 0])))), 4)
    0.25

    Reference:
        Ma et al., *Entire Space Multi-Task Model*, eq. 1, [arXiv:1804.07931](https://arxiv.org/abs/1804.07931).
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.built = True

    def call(self, parent: Any, child: Any) -> Any:
        """Combine the logits."""
        return -ops.logsumexp(ops.stack([-parent, -child, -parent - child], axis=0), axis=0)

    def compute_output_shape(self, parent_shape: Any, child_shape: Any) -> Any:
        """Shape of the output (see "Output shape")."""
        return parent_shape
