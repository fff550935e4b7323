"""Dense layers that a row's ids and its domain personalize by gates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP, FeatureGate
from ...schema import Categorical, Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class PEPNet(Backbone):
    """Gates that scale embeddings for a domain, and hidden units for a user and an ad.

    One network has to serve several surfaces and very different users. EPNet scales each component of the embeddings
    `E` by a gate that reads the domain, such as the tab or the page. PPNet scales each hidden layer of the dense
    network by a gate that reads ids of the user and the ad. With `gate(x) = 2 sigmoid(mlp(x))`:

        O = gate([domain, stop_gradient(E)]) ⊙ E
        hₗ₊₁ = activation(hₗ Wₗ + bₗ) ⊙ gateₗ([ids, stop_gradient(O)]),   h₀ = O

    The gates' gradients do not reach the embeddings of other fields, which would otherwise learn to open gates.

    The paper gives each task gated layers of its own. Here the gated layers are the backbone, which all tasks share;
    their towers, or another structure, stand above it.

    By name, as `CTRModel(backbone="pepnet")`, the domain is the features of the context, and the ids are the feature
    with the most ids on the user's side and on the ad's.

    Args:
        id_fields: names of the fields that personalize the dense layers.
        domain_fields: names of the fields that say which domain a row belongs to; without any there is no EPNet.
            Defaults to `()`.
        units: widths of the dense layers. Defaults to `(256, 128)`.
        gate_units: widths of the hidden layers of each gate. Defaults to `(64,)`.
        activation: activation of the dense layers. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, units[-1])`.

    Raises:
        ValueError: on no `id_fields` or `units`; when it is built, on a name that is no field.

    Example:

    >>> import numpy as np
    >>> fields = {name: np.ones((4, 8), "float32") for name in ("user", "ad", "tab")}
    >>> tuple(PEPNet(["user", "ad"], ["tab"], units=(32,))(fields).shape)
    (4, 32)

    Reference:
        Chang et al., *PEPNet*, [arXiv:2302.01115](https://arxiv.org/abs/2302.01115), section 3.
    """

    def __init__(
        self,
        id_fields: Sequence[str],
        domain_fields: Sequence[str] = (),
        units: Sequence[int] = (256, 128),
        gate_units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.id_fields, self.domain_fields = list(id_fields), list(domain_fields)
        self.units, self.gate_units = tuple(units), tuple(gate_units)
        self.activation, self.dropout = keras.activations.get(activation), dropout
        for argument, given in (("id_fields", self.id_fields), ("units", self.units)):
            if not given:
                raise ValueError(f"`{argument}` must not be empty. Received: {argument}={given!r}.")

        def gate(name: str) -> FeatureGate:
            return FeatureGate(self.gate_units, dtype=self.dtype_policy, name=name)

        self.domain_gate = gate("domain_gate") if self.domain_fields else None
        places = range(len(self.units))
        self.gates = [gate(f"gate_{place}") for place in places]
        self.layers_of_units = [
            MLP(self.units[place : place + 1], self.activation, dropout, dtype=self.dtype_policy, name=f"mlp_{place}")
            for place in places
        ]

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "PEPNet":
        """The backbone for a table: see the class for the fields it takes."""
        ids = []
        for side in ("user", "ad"):
            features = [f for f in schema.on_side(side) if isinstance(f, Categorical)]
            if features:
                ids.append(max(features, key=lambda f: f.vocabulary_size).name)
        if not ids and "id_fields" not in arguments:
            raise ValueError(
                "The gates of PEPNet read ids of the user and the ad, but the schema has no categorical feature on "
                "these sides. Pass PEPNet(id_fields=...) with other fields, or use the backbone 'mlp'."
            )
        return cls(**{"id_fields": ids, "domain_fields": schema.field_names("context"), **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the gates and the dense layers."""
        for argument in ("id_fields", "domain_fields"):
            unknown = sorted(set(getattr(self, argument)) - set(input_shape))
            if unknown:
                raise ValueError(f"`{argument}` names {unknown}, which are none of the fields {sorted(input_shape)}.")
        width = self.concatenated_width(input_shape)

        def context(names: Sequence[str]) -> tuple[None, int]:
            return (None, width + sum(input_shape[name][-1] for name in names))

        if self.domain_gate is not None:
            self.domain_gate.build({"features": (None, width), "context": context(self.domain_fields)})
        before = width
        for layer, gate, units in zip(self.layers_of_units, self.gates, self.units, strict=True):
            layer.build((None, before))
            gate.build({"features": (None, units), "context": context(self.id_fields)})
            before = units
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x = self.concatenate(fields)

        def context(names: Sequence[str], embeddings: Any) -> Any:
            return ops.concatenate([*(fields[name] for name in names), ops.stop_gradient(embeddings)], axis=-1)

        if self.domain_gate is not None:
            x = self.domain_gate({"features": x, "context": context(self.domain_fields, x)})
        ids = context(self.id_fields, x)
        for layer, gate in zip(self.layers_of_units, self.gates, strict=True):
            x = gate({"features": layer(x, training=training), "context": ids})
        return x

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "id_fields": self.id_fields,
            "domain_fields": self.domain_fields,
            "units": list(self.units),
            "gate_units": list(self.gate_units),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
