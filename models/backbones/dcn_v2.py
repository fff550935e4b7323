"""Deep & Cross Network V2."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_rs
from keras import ops

from ...layers import MLP
from .backbone import Backbone

STRUCTURES = ("parallel", "stacked")


@keras.saving.register_keras_serializable(package="grouprank")
class DCNv2(Backbone):
    """Explicit bounded-degree feature crosses beside (or under) dense layers.

    Args:
        num_cross_layers: number of `keras_rs.layers.FeatureCross`. Defaults to `3`.
        projection_dim: rank of the cross weights, `None` for full. Defaults to `None`.
        units: widths of the dense layers. Defaults to `(256, 128)`.
        activation: their activation. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        structure: `"parallel"` concatenates crosses and dense layers, `"stacked"`
            feeds the crosses to the dense layers. Defaults to `"parallel"`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, sum of the fields' widths + units[-1])`, or `(batch, units[-1])`
        for `"stacked"`.

    Raises:
        ValueError: on an unknown `structure`.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(DCNv2(2, units=(32,))(fields).shape)
    (4, 48)

    Reference:
        Wang et al., *DCN V2*, [arXiv:2008.13535](https://arxiv.org/abs/2008.13535), eq. 1.
    """

    def __init__(
        self,
        num_cross_layers: int = 3,
        projection_dim: int | None = None,
        units: Sequence[int] = (256, 128),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        structure: str = "parallel",
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if structure not in STRUCTURES:
            raise ValueError(f"`structure` must be one of {STRUCTURES}. Received: structure={structure!r}.")
        self.num_cross_layers = num_cross_layers
        self.projection_dim = projection_dim
        self.structure = structure
        self.crosses = [
            keras_rs.layers.FeatureCross(projection_dim=projection_dim, dtype=self.dtype_policy, name=f"cross_{index}")
            for index in range(num_cross_layers)
        ]
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build crosses and dense layers."""
        shape = (None, self.concatenated_width(input_shape))
        for cross in self.crosses:
            cross.build(shape)
            # keras-rs creates its inner layers in `build` but leaves them unbuilt.
            if self.projection_dim is not None:
                cross.down_proj_dense.build(shape)
                cross.dense.build((None, self.projection_dim))
            else:
                cross.dense.build(shape)
        self.mlp.build(shape)
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x0 = self.concatenate(fields)
        crossed = x0
        for cross in self.crosses:
            crossed = cross(x0, crossed)
        if self.structure == "stacked":
            return self.mlp(crossed, training=training)
        return ops.concatenate([crossed, self.mlp(x0, training=training)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "num_cross_layers": self.num_cross_layers,
            "projection_dim": self.projection_dim,
            "structure": self.structure,
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
