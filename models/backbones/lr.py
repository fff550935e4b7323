"""Logistic regression."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ...schema import Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class LR(Backbone):
    """The sum of the fields: linear in the one-hot features.

    The "wide" model that every deeper one must beat. With `tower_units=()` a
    task's logit is `b + Σ w · eᵢ`, the sum of one weight per id (`w · eᵢ`), as in
    logistic regression; `embedding_dim=1` suffices for one task. The weights of
    several tasks are linear functions of the same embeddings: their matrix,
    ids × tasks, has at most the rank `embedding_dim`, so that they are independent
    of each other from `embedding_dim` = number of tasks on. Learned groups of
    another width than the features are brought to theirs by a linear layer.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: has no effect, since there is no dropout.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, width)`.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(LR()(fields).shape)
    (4, 8)

    Reference:
        McMahan et al., *Ad click prediction: a view from the trenches*, 2013.
    """

    @classmethod
    def from_schema(cls, schema: Schema, dropout: float = 0.0, **arguments: Any) -> "LR":
        """The backbone for a table; it has no layer for `dropout` to act on."""
        return cls(**arguments)

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Bring all fields to one width."""
        self.build_stack(input_shape)
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        return ops.sum(self.stack(fields), axis=1)
