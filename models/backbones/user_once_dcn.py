"""Feature crosses whose user half does not read the ad."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP
from ...schema import Schema
from .backbone import Backbone
from .request_side import request_side


@keras.saving.register_keras_serializable(package="grouprank")
class UserOnceDCN(Backbone):
    """DCN V2 in which the user's half reads the user alone, so that many ads of one request share it.

    `DCNv2` mixes users and ads in its first cross, so little of it is the same for all ads of a request. Here the
    crosses of the request's fields `u` read those fields alone, and the crosses of all other fields `a` (the ad's, and
    groups of user-ad pairs) read both:

        uₗ₊₁ = u₀ ⊙ (uₗ U + b) + uₗ
        aₗ₊₁ = a₀ ⊙ ([uₗ, aₗ] W + c) + aₗ

    It is `DCNv2` with zeros where the user's half would read the ad. Products of the user's and the ad's features are
    in the ad's half. The dense layers beside the crosses read `[u₀, a₀]`. `CTRModel.rank` and the served signature
    `rank` compute `uₗ`, `uₗ U` and `uₗ W` once a request. Use it where requests have many ads. `serving_default` costs
    nearly as much as that of `DCNv2`.

    By name, as `CTRModel(backbone="user_once_dcn")`, the request's fields are the features of the user and of the
    context. A user's sequence that is encoded with attention to the ad differs between ads. Leave it out of
    `request_fields` then, or `rank` is right and saves nothing.

    Args:
        request_fields: names of the features that all ads of a request share (see `request_side`).
        num_cross_layers: number of crosses of each half. Defaults to `3`.
        units: widths of the dense layers. Defaults to `(256, 128)`.
        activation: their activation. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, sum of the fields' widths + units[-1])`.

    Raises:
        ValueError: when it is built, if `request_fields` names a field that does not exist, or names none or all.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(UserOnceDCN(["user"], 2, units=(32,))(fields).shape)
    (4, 48)

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1, with the separation of Lu et
        al., *Compute Only Once: UG-Separation*, [arXiv:2602.10455](https://arxiv.org/abs/2602.10455), which masks what
        the user's tokens read of the ad's in RankMixer.
    """

    def __init__(
        self,
        request_fields: Sequence[str],
        num_cross_layers: int = 3,
        units: Sequence[int] = (256, 128),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request_fields = list(request_fields)
        self.num_cross_layers = num_cross_layers
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "UserOnceDCN":
        """The backbone for a table: the request's fields are the features of the user and of the context."""
        return cls(**{"request_fields": schema.field_names("user", "context"), **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the crosses of both halves and the dense layers."""
        unknown = sorted(set(self.request_fields) - set(input_shape))
        request, _ = self.halves(dict(input_shape))
        if unknown or not 0 < len(request) < len(input_shape):
            raise ValueError(
                f"`request_fields` must name some, but not all, of the fields {sorted(input_shape)}. "
                f"Received: {self.request_fields}. Where all fields are of one side, use the backbone 'dcn_v2'."
            )
        once = sum(shape[-1] for shape in request)
        width = self.concatenated_width(input_shape)
        layers = range(self.num_cross_layers)
        self.request_crosses = [self._linear(once, once, f"request_cross_{index}") for index in layers]
        self.crosses = [self._linear(width, width - once, f"cross_{index}") for index in layers]
        self.mlp.build((None, width))
        self.built = True

    def halves(self, fields: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        """The values of the request's fields and of all others, each in the order of their names."""
        request, others = ([fields[name] for name in side] for side in request_side(fields, self.request_fields))
        return request, others

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        u0, a0 = (ops.concatenate(half, axis=-1) for half in self.halves(fields))
        x0 = ops.concatenate([u0, a0], axis=-1)
        u, a = u0, a0
        for request_cross, cross in zip(self.request_crosses, self.crosses, strict=True):
            u, a = u0 * request_cross(u) + u, a0 * cross(ops.concatenate([u, a], axis=-1)) + a
        return ops.concatenate([u, a, self.mlp(x0, training=training)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "request_fields": self.request_fields,
            "num_cross_layers": self.num_cross_layers,
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }

    def _linear(self, width: int, units: int, name: str) -> keras.layers.Dense:
        dense = keras.layers.Dense(units, dtype=self.dtype_policy, name=name)
        dense.build((None, width))
        return dense
