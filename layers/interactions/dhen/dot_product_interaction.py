"""Inner products of the embeddings of a row."""

from typing import Any

import keras
import keras_rs
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class DotProductInteraction(keras.layers.Layer):
    """Takes the inner products of all pairs of embeddings, as DLRM does.

    `keras_rs.layers.DotInteraction`, and a linear layer that makes embeddings of
    its products again.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: embeddings below each other, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`, at least two embeddings.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: when it is built, if there is one embedding only and so no pair.

    Example:

    >>> import numpy as np
    >>> tuple(DotProductInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Naumov et al., *DLRM*, [arXiv:1906.00091](https://arxiv.org/abs/1906.00091).
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.dot = keras_rs.layers.DotInteraction(dtype=self.dtype_policy, name="dot")

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create the linear layer."""
        _, fields, dim = input_shape
        if fields < 2:
            raise ValueError(f"Inner products need at least two embeddings. Received: input_shape={input_shape}.")
        self.dense = keras.layers.Dense(self.num_embeddings * dim, dtype=self.dtype_policy, name="dense")
        self.dense.build((None, fields * (fields - 1) // 2))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Embeddings of the inner products."""
        _, fields, dim = inputs.shape
        products = self.dot(ops.unstack(inputs, fields, axis=1))
        return ops.reshape(self.dense(products), (-1, self.num_embeddings, dim))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_embeddings": self.num_embeddings}
