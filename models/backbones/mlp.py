"""Plain dense layers over all fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ...layers import MLP
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class MLPBackbone(Backbone):
    """Dense layers over the concatenated fields ("embedding & MLP").

    The simplest deep ranking model; a fair baseline for every other.

    Args:
        units: widths of the layers. Defaults to `(256, 128)`.
        activation: activation of the dense layers. Defaults to `"relu"`.
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
        `(batch, units[-1])`.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(MLPBackbone((32, 16))(fields).shape)
    (4, 16)

    Reference:
        Covington et al., *Deep neural networks for YouTube recommendations*, 2016.
    """

    def __init__(
        self,
        units: Sequence[int] = (256, 128),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the dense layers."""
        self.mlp.build((None, self.concatenated_width(input_shape)))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        return self.mlp(self.concatenate(fields), training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
