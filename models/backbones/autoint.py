"""Automatic feature interactions by self-attention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP, FieldSelfAttention
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class AutoInt(Backbone):
    """Stacked self-attention between fields, beside optional dense layers.

    Each layer lets a field gather what matters for it from all fields; layers on
    top of each other make interactions of higher order. With `units` this is the
    paper's AutoInt+.

    Args:
        num_layers: number of `FieldSelfAttention` layers. Defaults to `3`.
        num_heads: attention heads of a layer. Defaults to `2`.
        head_dim: width of a head. Defaults to `32`.
        use_scale: divide inner products by `√head_dim`. Defaults to `False`, as in
            the paper.
        units: widths of dense layers over the embeddings, beside the attention. An
            empty tuple leaves them out. Defaults to `()`.
        activation: activation of the dense layers. Defaults to `"relu"`.
        dropout: dropout rate of the attention weights and the dense layers.
            Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, fields * num_heads * head_dim)`, and `units[-1]` more with dense layers.

    Raises:
        ValueError: on a number of layers below 1, or what `FieldSelfAttention` and
            `MLP` refuse.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(AutoInt(2, head_dim=4, units=(16,))(fields).shape)
    (4, 32)

    Reference:
        Song et al., *AutoInt*, [arXiv:1810.11921](https://arxiv.org/abs/1810.11921).
    """

    def __init__(
        self,
        num_layers: int = 3,
        num_heads: int = 2,
        head_dim: int = 32,
        use_scale: bool = False,
        units: Sequence[int] = (),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(f"`num_layers` must be a positive integer. Received: num_layers={num_layers!r}.")
        self.num_layers = num_layers
        self.attention = [
            FieldSelfAttention(
                num_heads, head_dim, use_scale, dropout, dtype=self.dtype_policy, name=f"attention_{index}"
            )
            for index in range(num_layers)
        ]
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build attention and dense layers."""
        shape: tuple[int | None, ...] = (None, *self.build_stack(input_shape))
        for layer in self.attention:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.mlp.build((None, self.concatenated_width(input_shape)))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x = self.stack(fields)
        for layer in self.attention:
            x = layer(x, training=training)
        attended = ops.reshape(x, (-1, x.shape[1] * x.shape[2]))
        if not self.mlp.units:
            return attended
        return ops.concatenate([attended, self.mlp(self.concatenate(fields), training=training)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        attention, mlp = self.attention[0].get_config(), self.mlp.get_config()
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            **{name: attention[name] for name in ("num_heads", "head_dim", "use_scale")},
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
