"""Factorization machine beside dense layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP, FactorizationMachine
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class DeepFM(Backbone):
    """A factorization machine and dense layers that share their embeddings.

    Component 0 of a field is its first-order weight, the rest its factors, as in
    `FM`. The dense layers see the factors of all fields side by side, and the
    representation is `concat[FM's representation, dense layers]`: with
    `tower_units=()` and ones for FM's part of the kernel, the logit is the paper's
    `y_FM + y_DNN`. Learned groups of another width than the features are brought
    to theirs by a linear layer.

    Args:
        units: widths of the dense layers. Defaults to `(256, 128)`.
        activation: activation of the dense layers. Defaults to `"relu"`.
        dropout: dropout rate of the dense layers. Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`, at least 2 wide.

    Output shape:
        `(batch, width + units[-1])`.

    Raises:
        ValueError: when it is built, if the fields are 1 wide.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(DeepFM((32, 16))(fields).shape)
    (4, 24)

    Reference:
        Guo et al., *DeepFM*, [arXiv:1703.04247](https://arxiv.org/abs/1703.04247), eq. 1 – 4.
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
        self.factorization = FactorizationMachine(dtype=self.dtype_policy, name="factorization")
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the dense layers over the factors of all fields."""
        num_fields, width = self.build_stack(input_shape)
        self.factorization.build((None, num_fields, width))
        self._factors_width = num_fields * (width - 1)
        self.mlp.build((None, self._factors_width))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        rows = self.stack(fields)
        factors = ops.reshape(rows[:, :, 1:], (-1, self._factors_width))
        return ops.concatenate([self.factorization(rows), self.mlp(factors, training=training)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
