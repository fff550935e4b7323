"""Factorization machine."""

from collections.abc import Mapping
from typing import Any

import keras

from ...layers import FactorizationMachine
from ...schema import Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class FM(Backbone):
    """A weight for each field and a product for each pair of fields.

    One table holds both parameters of an id: component 0 of a field is its
    first-order weight `w`, the rest its factors `v`. The representation is
    `concat[Σ w, ½((Σ v)² − Σ v²)]`. The sum of its components is the paper's `ŷ`
    without the bias; with `tower_units=()` each task learns a bias and a weight
    for each component. Learned groups of another width than the features are
    brought to theirs by a linear layer.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: has no effect, since there is no dropout.

    Input shape:
        A dict of `(batch, width)`, at least 2 wide.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: when it is built, if the fields are 1 wide.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(FM()(fields).shape)
    (4, 8)

    Reference:
        Rendle, *Factorization machines*, 2010, eq. 1; *Factorization machines with libFM*, 2012.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factorization = FactorizationMachine(dtype=self.dtype_policy, name="factorization")

    @classmethod
    def from_schema(cls, schema: Schema, dropout: float = 0.0, **arguments: Any) -> "FM":
        """The backbone for a table; it has no layer for `dropout` to act on."""
        return cls(**arguments)

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Bring all fields to one width."""
        self.factorization.build((None, *self.build_stack(input_shape)))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        return self.factorization(self.stack(fields))
