"""Deep & Cross Network V2 with gates on its crosses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP, GatedCross
from .backbone import Backbone
from .dcn_v2 import STRUCTURES


@keras.saving.register_keras_serializable(package="grouprank")
class GDCN(Backbone):
    """Gated feature crosses beside (or under) dense layers.

    Use it in place of `DCNv2` where more crosses make a model worse: the gate of a cross keeps out the products that do
    not help. It has twice the weights of a cross.

    Args:
        num_cross_layers: number of `GatedCross`. Defaults to `3`.
        units: widths of the dense layers. Defaults to `(256, 128)`.
        activation: their activation. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        structure: `"parallel"` concatenates crosses and dense layers, `"stacked"` feeds the crosses to the dense
            layers. Defaults to `"parallel"`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, sum of the fields' widths + units[-1])`, or `(batch, units[-1])` for `"stacked"`.

    Raises:
        ValueError: on an unknown `structure`, or what `MLP` refuses.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(GDCN(2, units=(32,))(fields).shape)
    (4, 48)

    Reference:
        Wang et al., *GDCN*, [arXiv:2311.04635](https://arxiv.org/abs/2311.04635).
    """

    def __init__(
        self,
        num_cross_layers: int = 3,
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
        self.num_cross_layers, self.structure = num_cross_layers, structure
        self.crosses = [GatedCross(dtype=self.dtype_policy, name=f"cross_{index}") for index in range(num_cross_layers)]
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build crosses and dense layers."""
        shape = (None, self.concatenated_width(input_shape))
        for cross in self.crosses:
            cross.build([shape, shape])
        self.mlp.build(shape)
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x0 = self.concatenate(fields)
        crossed = x0
        for cross in self.crosses:
            crossed = cross([x0, crossed])
        if self.structure == "stacked":
            return self.mlp(crossed, training=training)
        return ops.concatenate([crossed, self.mlp(x0, training=training)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "num_cross_layers": self.num_cross_layers,
            "structure": self.structure,
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
