"""Stacked factorization machines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import WukongLayer
from ...layers.check_arguments import check_positive
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class Wukong(Backbone):
    """Stacked layers that each make embeddings of the products of embeddings.

    Layer `l` holds interactions of up to `2ˡ` fields. The paper finds that quality goes on rising with the size of this
    network where that of others levels off, so its arguments are the sizes: more layers, more embeddings, a larger
    `rank`, wider dense layers.

    Args:
        num_layers: number of `WukongLayer`. Defaults to `3`.
        num_products: embeddings that a layer makes of products. Defaults to `16`.
        num_linear: embeddings that a layer combines linearly. Defaults to `16`.
        rank: columns that the products are compressed to. Defaults to `24`.
        units: widths of the dense layers of each layer. Defaults to `(256,)`.
        activation: their activation. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, (num_products + num_linear) * dim)` with the features' width `dim`.

    Raises:
        ValueError: on a number below 1, or what `WukongLayer` refuses.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(Wukong(2, num_products=3, num_linear=2, units=(16,))(fields).shape)
    (4, 40)

    Reference:
        Zhang et al., *Wukong*, [arXiv:2403.02545](https://arxiv.org/abs/2403.02545).
    """

    def __init__(
        self,
        num_layers: int = 3,
        num_products: int = 16,
        num_linear: int = 16,
        rank: int = 24,
        units: Sequence[int] = (256,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_layers=num_layers)
        self.num_layers = num_layers
        self.stages = [
            WukongLayer(
                num_products,
                num_linear,
                rank,
                units,
                activation,
                dropout,
                dtype=self.dtype_policy,
                name=f"layer_{index}",
            )
            for index in range(num_layers)
        ]

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the layers in order."""
        shape: tuple[int | None, ...] = (None, *self.build_stack(input_shape))
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x = self.stack(fields)
        for stage in self.stages:
            x = stage(x, training=training)
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        stage = self.stages[0].get_config()
        shared = ("num_products", "num_linear", "rank", "units", "activation", "dropout")
        return {**super().get_config(), "num_layers": self.num_layers, **{name: stage[name] for name in shared}}
