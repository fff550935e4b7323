"""A deep hierarchical ensemble of feature interactions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import DHENLayer
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class DHEN(Backbone):
    """Stacked layers, each of which runs interactions of several kinds side by side.

    No single kind of interaction is best on every table. Here a layer combines
    several, and the next one works on what all of them found. `DHENLayer` lists
    them and says how it reads the paper.

    Args:
        num_layers: number of layers. Defaults to `2`.
        num_embeddings: embeddings that each interaction makes. Defaults to `8`.
        interactions: names of the interactions of every layer, of `"dcn"`,
            `"self_attention"`, `"dot"`, `"linear"` and `"mlp"`. Defaults to
            `("dcn", "self_attention", "linear")`.
        ensemble: `"concat"` stacks their embeddings, `"sum"` adds
            them up. Defaults to `"concat"`.
        num_heads: attention heads of `"self_attention"`. Defaults to `2`.
        units: widths of the dense layers of `"mlp"`. Defaults to `(128,)`.
        dropout: dropout rate of `"self_attention"` and `"mlp"`. Defaults to `0.0`.
        activation: activation of the dense layers of `"mlp"`. Defaults to `"relu"`.
        normalization: `"batch"` or `"layer"` normalization between each of these dense layers and its activation, or
            `None`. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, len(interactions) * num_embeddings * dim)` with the features' width
        `dim`, or `(batch, num_embeddings * dim)` for `"sum"`.

    Raises:
        ValueError: on a number of layers below 1, or what `DHENLayer` refuses.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(DHEN(2, num_embeddings=3, interactions=("dot", "linear"))(fields).shape)
    (4, 48)

    Reference:
        Zhang et al., *DHEN*, [arXiv:2203.11014](https://arxiv.org/abs/2203.11014); for
        conversions, Zhuang et al., [arXiv:2504.08169](https://arxiv.org/abs/2504.08169).
    """

    def __init__(
        self,
        num_layers: int = 2,
        num_embeddings: int = 8,
        interactions: Sequence[str] = ("dcn", "self_attention", "linear"),
        ensemble: str = "concat",
        num_heads: int = 2,
        units: Sequence[int] = (128,),
        dropout: float = 0.0,
        *,
        activation: str | Callable[[Any], Any] | None = "relu",
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(f"`num_layers` must be a positive integer. Received: num_layers={num_layers!r}.")
        self.num_layers = num_layers
        self.stages = [
            DHENLayer(
                num_embeddings,
                interactions,
                ensemble,
                num_heads,
                units,
                dropout,
                activation=activation,
                normalization=normalization,
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
        shared = ["num_embeddings", "interactions", "ensemble", "num_heads", "units", "dropout"]
        shared += ["activation", "normalization"]
        return {**super().get_config(), "num_layers": self.num_layers, **{name: stage[name] for name in shared}}
