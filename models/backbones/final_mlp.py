"""Two dense streams over differently gated features, fused by a bilinear product."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ...layers import MLP, BilinearFusion, FeatureGate
from ...schema import Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class FinalMLP(Backbone):
    """Two plain networks that see the fields through different gates, and their bilinear fusion.

    Each stream gates all fields by what it knows of its context, the user's fields
    for the first and the ad's for the second, so that the two learn different
    things. `BilinearFusion` multiplies what they found. By name, in a model, the
    contexts are those of the table's sides. Where a side has no fields, the gate is
    learned and the same for all rows.

    Args:
        first_units: widths of the first stream's layers. Defaults to `(256, 128)`.
        second_units: widths of the second stream's layers. Defaults to `(256, 128)`.
        first_context: names of the fields that steer the first gate. Defaults to `()`.
        second_context: names of the fields that steer the second gate. Defaults to `()`.
        gate_units: widths of the gate networks' hidden layers. Defaults to `(64,)`.
        context_dim: width of the learned vector that steers a gate without a
            context. Defaults to `16`.
        num_heads: heads of the fusion, a divisor of both streams' widths. Defaults
            to `1`.
        activation: activation of the streams. Defaults to `"relu"`.
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
        `(batch, first_units[-1] + 2 * second_units[-1])`.

    Raises:
        ValueError: on a stream without layers, a context that is not among the
            fields, or what `FeatureGate`, `BilinearFusion` and `MLP` refuse.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> backbone = FinalMLP((16, 8), (16, 4), first_context=["user"], second_context=["ad"], num_heads=2)
    >>> tuple(backbone(fields).shape)
    (4, 16)

    Reference:
        Mao et al., *FinalMLP*, [arXiv:2304.00902](https://arxiv.org/abs/2304.00902).
    """

    def __init__(
        self,
        first_units: Sequence[int] = (256, 128),
        second_units: Sequence[int] = (256, 128),
        first_context: Sequence[str] = (),
        second_context: Sequence[str] = (),
        gate_units: Sequence[int] = (64,),
        context_dim: int = 16,
        num_heads: int = 1,
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not first_units or not second_units:
            raise ValueError(
                "`first_units` and `second_units` must each name at least one layer. "
                f"Received: first_units={tuple(first_units)}, second_units={tuple(second_units)}."
            )
        self.contexts = (tuple(first_context), tuple(second_context))
        self.gates = [
            FeatureGate(gate_units, context_dim=context_dim, dtype=self.dtype_policy, name=name)
            for name in ("first_gate", "second_gate")
        ]
        self.streams = [
            MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name=name)
            for name, units in (("first_stream", first_units), ("second_stream", second_units))
        ]
        self.fusion = BilinearFusion(num_heads, dtype=self.dtype_policy, name="fusion")

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "FinalMLP":
        """The backbone for a table: the first context is its user features, the second its ad features."""
        contexts = {
            "first_context": schema.field_names("user"),
            "second_context": schema.field_names("ad"),
        }
        return cls(**{**contexts, **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build gates, streams and fusion."""
        features = (None, self.concatenated_width(input_shape))
        for gate, context, stream in zip(self.gates, self.contexts, self.streams, strict=True):
            unknown = sorted(set(context) - set(input_shape))
            if unknown:
                raise ValueError(
                    f"`first_context` and `second_context` must name fields of {sorted(input_shape)}. "
                    f"Received: {unknown}."
                )
            shapes = {"features": features}
            if context:
                shapes["context"] = (None, self.concatenated_width({name: input_shape[name] for name in context}))
            gate.build(shapes)
            stream.build(features)
        left, right = (stream.compute_output_shape(features) for stream in self.streams)
        self.fusion.build({"left": left, "right": right})
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        features = self.concatenate(fields)
        outputs = []
        for gate, context, stream in zip(self.gates, self.contexts, self.streams, strict=True):
            inputs = {"features": features}
            if context:
                inputs["context"] = self.concatenate({name: fields[name] for name in context})
            outputs.append(stream(gate(inputs), training=training))
        return self.fusion({"left": outputs[0], "right": outputs[1]})

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        first, second = (stream.get_config() for stream in self.streams)
        gate = self.gates[0].get_config()
        return {
            **super().get_config(),
            "first_units": first["units"],
            "second_units": second["units"],
            "first_context": list(self.contexts[0]),
            "second_context": list(self.contexts[1]),
            "gate_units": gate["units"],
            "context_dim": gate["context_dim"],
            "num_heads": self.fusion.num_heads,
            "activation": first["activation"],
            "dropout": first["dropout"],
            "normalization": first["normalization"],
        }
