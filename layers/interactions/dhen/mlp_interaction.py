"""Dense layers over all embeddings of a row."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ...check_arguments import check_rate, known_sizes
from ...mlp import MLP
from .embedding_interaction import EmbeddingInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class MLPInteraction(EmbeddingInteraction):
    """Feeds the embeddings of a row, side by side, to dense layers.

    Use it for interactions that no formula names. A last linear layer makes embeddings of what the dense layers found.

    Args:
        num_embeddings: number of embeddings of the output.
        units: widths of the dense layers. Defaults to `(128,)`.
        dropout: dropout rate of these layers. Defaults to `0.0`.
        activation: their activation. Defaults to `"relu"`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`. The
            last linear layer has none. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or, when it is built, on a width below 1, an
            unknown `normalization`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(MLPInteraction(2, units=(16,))(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Zhang et al., *DHEN*, [arXiv:2203.11014](https://arxiv.org/abs/2203.11014), section 3.
    """

    def __init__(
        self,
        num_embeddings: int,
        units: Sequence[int] = (128,),
        dropout: float = 0.0,
        *,
        activation: str | Callable[[Any], Any] | None = "relu",
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_embeddings, **kwargs)
        check_rate(dropout=dropout)
        self.units = tuple(units)
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.normalization = normalization

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the dense layers."""
        fields, dim = known_sizes(input_shape)
        self.mlp = MLP(
            self.units,
            self.activation,
            self.dropout,
            self.num_embeddings * dim,
            normalization=self.normalization,
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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self.normalization,
        }
