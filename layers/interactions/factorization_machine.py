"""First-order weights and pairwise products of fields."""

from typing import Any

import keras
from keras import ops

from .bi_interaction_pooling import BiInteractionPooling


@keras.saving.register_keras_serializable(package="grouprank")
class FactorizationMachine(keras.layers.Layer):
    """Sums fields' weights, and the products of the factors of all their pairs.

    Component 0 of a field is its first-order weight `w`, the rest its factors `v`,
    so that one embedding table holds both. The output is
    `concat[Σ w, Σ_{i<j} vᵢ ⊙ vⱼ]`; the sum of its components is the paper's `ŷ`
    without the bias.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the stacked fields, of floating dtype.

    Input shape:
        `(batch, fields, width)`, the width at least 2.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: when it is built, if the fields have no factors beside their weight.

    Example:

    >>> import numpy as np
    >>> fields = np.array([[[0.5, 1.0, 2.0], [0.25, 3.0, 4.0]]], "float32")
    >>> [float(value) for value in FactorizationMachine()(fields)[0]]
    [0.75, 3.0, 8.0]

    Reference:
        Rendle, *Factorization machines*, 2010, eq. 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pooling = BiInteractionPooling(dtype=self.dtype_policy, name="pooling")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the width; there are no weights."""
        width = input_shape[-1]
        if width is None or width < 2:
            raise ValueError(
                "A factorization machine needs fields at least 2 wide: a weight and one factor. "
                f"Received: width {width}. Use a larger `embedding_dim`, or the backbone 'lr' for weights alone."
            )
        self.pooling.build((*input_shape[:-1], width - 1))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Weights and products."""
        return ops.concatenate([ops.sum(inputs[:, :, 0:1], axis=1), self.pooling(inputs[:, :, 1:])], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], input_shape[-1])
