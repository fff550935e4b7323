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


def known_sizes(input_shape: tuple[int | None, ...]) -> tuple[int, int]:
    """The number of embeddings and their width.

    Args:
        input_shape: shape of an interaction's inputs.

    Raises:
        ValueError: if the shape has another rank, or one of the two sizes is unknown.

    Example:

    >>> known_sizes((None, 3, 8))
    (3, 8)
    """
    if len(input_shape) == 3:
        _, embeddings, dim = input_shape
        if embeddings is not None and dim is not None:
            return embeddings, dim
    raise ValueError(
        "`inputs` must have the shape (batch, embeddings, dim), with known embeddings and dim. "
        f"Received: input_shape={input_shape}."
    )
