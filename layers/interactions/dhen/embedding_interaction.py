"""What the interactions of a `DHENLayer` have in common."""

from typing import Any

import keras

from ...check_arguments import check_positive


class EmbeddingInteraction(keras.layers.Layer):
    """Base class of layers that make a number of embeddings of the embeddings of a row.

    Args:
        num_embeddings: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_embeddings, dim)`.

    Raises:
        ValueError: on a number below 1, or inputs of another rank or of unknown size.
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(num_embeddings=num_embeddings)
        self.num_embeddings = num_embeddings

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_embeddings, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_embeddings": self.num_embeddings}
