"""Linear combinations of embeddings."""

from typing import Any

import keras
from keras import ops

from ...check_arguments import known_sizes
from .embedding_interaction import EmbeddingInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class LinearInteraction(EmbeddingInteraction):
    """Combines whole embeddings linearly, `W X`, without a product and without a bias.

    Use it to bring the embeddings of a row to another number. A `DHENLayer` also uses it as its shortcut, and to keep
    what the other interactions might lose.

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

    Example:

    >>> import numpy as np
    >>> tuple(LinearInteraction(2)(np.ones((4, 3, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Zhang et al., *DHEN*, [arXiv:2203.11014](https://arxiv.org/abs/2203.11014), section 3.
    """

    def __init__(self, num_embeddings: int, **kwargs: Any) -> None:
        super().__init__(num_embeddings, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights of the combinations."""
        embeddings, _ = known_sizes(input_shape)
        self.kernel = self.add_weight(name="kernel", shape=(embeddings, self.num_embeddings))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Combinations of the embeddings."""
        return ops.einsum("bnd,nk->bkd", inputs, self.kernel)
