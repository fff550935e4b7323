"""A few gated combinations of embeddings."""

from typing import Any

import keras

from ..check_arguments import check_positive, known_sizes
from ..interactions import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class FieldSummary(keras.layers.Layer):
    """Combines the embeddings of a row to a few, and gates each by itself.

    Use it where one part of a network is to read another in brief. The gate lets a combination pass in part:

        m = W X
        output = m ⊙ sigmoid(m V + b)

    Args:
        num_summaries: number of embeddings of the output.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_summaries, dim)`.

    Raises:
        ValueError: on a number below 1, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(FieldSummary(2)(np.ones((4, 5, 8), "float32")).shape)
    (4, 2, 8)

    Reference:
        Zeng et al., *InterFormer*, [arXiv:2411.09852](https://arxiv.org/abs/2411.09852): the summary of fields in the
        cross arch.
    """

    def __init__(self, num_summaries: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(num_summaries=num_summaries)
        self.num_summaries = num_summaries
        self.combine = LinearInteraction(num_summaries, dtype=self.dtype_policy, name="combine")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the combinations and the gate."""
        _, dim = known_sizes(input_shape)
        self.combine.build(input_shape)
        self.gate = keras.layers.Dense(dim, "sigmoid", dtype=self.dtype_policy, name="gate")
        self.gate.build((None, self.num_summaries, dim))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The gated combinations."""
        combined = self.combine(inputs)
        return combined * self.gate(combined)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_summaries, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_summaries": self.num_summaries}
