"""One side's fields as a vector."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ...layers import MLP
from ..backbones import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class Tower(Backbone):
    """Dense layers over one side's fields, the last one linear.

    A two-tower model has one for users and one for ads; a pair's score is the
    product of their vectors, so that ads can be indexed ahead of time.

    Args:
        units: widths of the hidden layers. Defaults to `(256, 128)`.
        output_dim: width of the vector. Defaults to `64`.
        activation: activation of the hidden layers. Defaults to `"relu"`.
        dropout: dropout rate of the hidden layers. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, output_dim)`.

    Raises:
        ValueError: on a width below 1 or a dropout rate outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> fields = {"ad_id": np.ones((4, 8), "float32"), "bid": np.ones((4, 8), "float32")}
    >>> tuple(Tower((32,), output_dim=16)(fields).shape)
    (4, 16)

    Reference:
        Huang et al., *Learning deep structured semantic models for web search*, 2013.
    """

    def __init__(
        self,
        units: Sequence[int] = (256, 128),
        output_dim: int = 64,
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(output_dim, int) or output_dim < 1:
            raise ValueError(f"`output_dim` must be a positive integer. Received: output_dim={output_dim!r}.")
        self.output_dim = output_dim
        self.mlp = MLP(units, activation, dropout=dropout, output_units=output_dim, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the dense layers."""
        self.mlp.build((None, self.concatenated_width(input_shape)))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Vector of the fields."""
        return self.mlp(self.concatenate(fields), training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        shared = {name: mlp[name] for name in ("units", "activation", "dropout")}
        return {**super().get_config(), **shared, "output_dim": self.output_dim}
