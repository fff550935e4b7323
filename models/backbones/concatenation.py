"""All fields side by side, without any interaction."""

from collections.abc import Mapping
from typing import Any

import keras

from ...schema import Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class Concatenation(Backbone):
    """The fields side by side, as they are.

    It leaves everything to what stands above: to the experts of a multi-task
    structure, as the papers of these have it, and for `STEM`, which takes the parts of
    the tasks out of the embeddings, it is the only backbone.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: has no effect, since there is no dropout.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, sum of the fields' widths)`.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 6), "float32")}
    >>> tuple(Concatenation()(fields).shape)
    (4, 14)
    """

    @classmethod
    def from_schema(cls, schema: Schema, dropout: float = 0.0, **arguments: Any) -> "Concatenation":
        """The backbone for a table; it has no layer for `dropout` to act on."""
        return cls(**arguments)

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        return self.concatenate(fields)
