"""Deep Learning Recommendation Model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_rs
from keras import ops

from ...layers import MLP
from ...schema import Numeric, Schema, Vector
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class DLRM(Backbone):
    """Dot products of all pairs of fields, between two dense networks.

    A bottom network makes one vector of the dense fields, as wide as an embedding.
    The dot products of all pairs of that vector and the other fields stand beside
    it, and a top network makes the representation of them. Learned groups
    of another width than the features are brought to theirs by a linear layer.

    By name, as `CTRModel(backbone="dlrm")`, the dense fields are the schema's
    numeric and vector features. There a field is already a linear function of its
    numbers, so the bottom network computes the same functions of them as in the
    paper, which feeds it the numbers themselves.

    Args:
        dense_fields: names of the fields of the bottom network. Without any, there is
            no bottom network. Defaults to `()`.
        bottom_units: widths of the bottom network below its last layer, which is as
            wide as the other fields. Defaults to `(64,)`.
        top_units: widths of the top network. Defaults to `(256, 128)`.
        activation: activation of both networks. Defaults to `"relu"`.
        dropout: dropout rate of the dense layers. Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, top_units[-1])`.

    Raises:
        ValueError: when it is built, if a dense field is missing, or fewer than two
            vectors are left to interact.

    Example:

    >>> import numpy as np
    >>> fields = {name: np.ones((4, 8), "float32") for name in ("user", "ad", "bid")}
    >>> tuple(DLRM(["bid"], bottom_units=(16,), top_units=(32,))(fields).shape)
    (4, 32)

    Reference:
        Naumov et al., *Deep learning recommendation model for personalization and
        recommendation systems*, [arXiv:1906.00091](https://arxiv.org/abs/1906.00091).
    """

    def __init__(
        self,
        dense_fields: Sequence[str] = (),
        bottom_units: Sequence[int] = (64,),
        top_units: Sequence[int] = (256, 128),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dense_fields = list(dense_fields)
        self.bottom_units = tuple(bottom_units)
        self.top = MLP(top_units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="top")
        self.dots = keras_rs.layers.DotInteraction(dtype=self.dtype_policy, name="dots")
        # Unused layers would be saved, and never built.
        self.bottom = (
            MLP(bottom_units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="bottom")
            if self.dense_fields
            else None
        )

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "DLRM":
        """The backbone for a table: its numbers and vectors are the dense fields."""
        dense = [feature.name for feature in schema.features if isinstance(feature, Numeric | Vector)]
        return cls(**{"dense_fields": dense, **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build both networks."""
        missing = sorted(set(self.dense_fields) - set(input_shape))
        if missing:
            raise ValueError(
                f"`dense_fields` names {missing}, which are no fields. Received fields: {sorted(input_shape)}."
            )
        others = {name: shape for name, shape in input_shape.items() if name not in self.dense_fields}
        vectors = len(others) + bool(self.dense_fields)
        if not others or vectors < 2:
            raise ValueError(
                "DLRM multiplies vectors with each other. It needs two fields that are not dense, or one beside "
                f"dense fields. Received: fields {sorted(input_shape)}, dense_fields={self.dense_fields}. "
                "The backbone 'mlp' takes any fields."
            )
        _, width = self.build_stack(others)
        top_width = vectors * (vectors - 1) // 2
        if self.bottom is not None:
            shape = (None, self.concatenated_width({name: input_shape[name] for name in self.dense_fields}))
            self.bottom.build(shape)
            self.bottom_output = keras.layers.Dense(
                width, activation=self.top.activation, dtype=self.dtype_policy, name="bottom_output"
            )
            self.bottom_output.build(self.bottom.compute_output_shape(shape))
            top_width += width
        self.dots.build([(None, width)] * vectors)
        self.top.build((None, top_width))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        rows = self.stack({name: field for name, field in fields.items() if name not in self.dense_fields})
        vectors = ops.unstack(rows, axis=1)
        if self.bottom is None:
            return self.top(self.dots(vectors), training=training)
        numbers = self.concatenate({name: fields[name] for name in self.dense_fields})
        dense = self.bottom_output(self.bottom(numbers, training=training))
        products = self.dots([dense, *vectors])
        return self.top(ops.concatenate([dense, products], axis=-1), training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        top = self.top.get_config()
        return {
            **super().get_config(),
            "dense_fields": self.dense_fields,
            "bottom_units": list(self.bottom_units),
            "top_units": top["units"],
            **{name: top[name] for name in ("activation", "dropout", "normalization")},
        }
