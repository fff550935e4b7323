"""Dense layers over all embeddings of a row."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ...mlp import MLP


@keras.saving.register_keras_serializable(package="grouprank")
class MLPInteraction(keras.layers.Layer):
    """Dense layers over the embeddings side by side, and a linear one that makes embeddings again.

    Args:
        num_embeddings: number of embeddings of the output.
        units: widths of the dense layers. Defaults to `(128,)`.
        dropout: their dropout rate. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: embeddings below each other, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Example:

    >>> import numpy as np
    >>> tuple(MLPInteraction(2, units=(16,))(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)
    """

    def __init__(self, num_embeddings: int, units: Sequence[int] = (128,), dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.units = tuple(units)
        self.dropout = dropout

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create the dense layers."""
        _, fields, dim = input_shape
        self.mlp = MLP(
            self.units,
            dropout=self.dropout,
            output_units=self.num_embeddings * dim,
            dtype=self.dtype_policy,
            name="mlp",
        )
        self.mlp.build((None, fields * dim))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Embeddings that the dense layers make."""
        _, fields, dim = inputs.shape
        x = self.mlp(ops.reshape(inputs, (-1, fields * dim)), training=training)
        return ops.reshape(x, (-1, self.num_embeddings, dim))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "units": list(self.units),
            "dropout": self.dropout,
        }
