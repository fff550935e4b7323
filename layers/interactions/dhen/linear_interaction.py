"""Linear combinations of embeddings."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class LinearInteraction(keras.layers.Layer):
    """Combines whole embeddings linearly: `W X`, no product and no bias.

    In a `DHENLayer` it hands on what the other interactions might lose, brings
    lists of embeddings to the wanted length, and is the shortcut where lengths
    differ.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: embeddings below each other, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Example:

    >>> import numpy as np
    >>> tuple(LinearInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create the weights of the combinations."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[1], self.num_embeddings))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Combinations of the embeddings."""
        return ops.einsum("bnd,nk->bkd", inputs, self.kernel)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_embeddings": self.num_embeddings}
