"""Positions of histories as tokens of one width."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..sequence import SequenceEncoder


@keras.saving.register_keras_serializable(package="grouprank")
class SequenceTokens(keras.layers.Layer):
    """Makes a token of each position of one or several histories.

    A linear layer of each history brings its vectors to the width of the tokens, and a learned vector says how many
    positions are newer. Several histories stand one after the other, in the order of their names.

    Args:
        width: width of a token.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"NAME:steps"`, vectors of a history, oldest first, and `"NAME:mask"`, boolean, `False` where a
            position does not count.

    Input shape:
        `(batch, length, dim)` and `(batch, length)` for each history.

    Output shape:
        The tokens, `(batch, positions of all histories, width)`, and what counts of them, `(batch, positions)`.

    Raises:
        ValueError: on a width below 1; when it is built, on a history without a mask or of unknown length.

    Example:

    >>> import numpy as np
    >>> history = {"seen:steps": np.ones((4, 5, 8), "float32"), "seen:mask": np.ones((4, 5), "bool")}
    >>> tokens, counts = SequenceTokens(6)(history)
    >>> tuple(tokens.shape), tuple(counts.shape)
    ((4, 5, 6), (4, 5))
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(width=width)
        self.width = width

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create a linear layer and the places of each history."""
        self.names = sorted(name.removesuffix(":steps") for name in input_shape if name.endswith(":steps"))
        self._projections, self._places = {}, {}
        for name in self.names:
            shape = input_shape[f"{name}:steps"]
            if f"{name}:mask" not in input_shape or len(shape) != 3 or shape[1] is None:
                raise ValueError(
                    f"The history {name!r} needs a mask and a known length. Received: {dict(input_shape)}."
                )
            self._projections[name] = keras.layers.Dense(self.width, dtype=self.dtype_policy, name=f"{name}_projection")
            self._places[name] = keras.layers.Embedding(
                shape[1], self.width, dtype=self.dtype_policy, name=f"{name}_places"
            )
            self._projections[name].build(shape)
            self._places[name].build(shape[:-1])
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The tokens, and which of them count."""
        tokens, masks = [], []
        for name in self.names:
            mask = ops.cast(inputs[f"{name}:mask"], "bool")
            # Positions that do not count may hold anything.
            steps = inputs[f"{name}:steps"]
            steps = ops.where(ops.expand_dims(mask, -1), steps, ops.zeros_like(steps))
            tokens.append(self._projections[name](steps) + self._places[name](SequenceEncoder.newer(mask)))
            masks.append(mask)
        return ops.concatenate(tokens, axis=1), ops.concatenate(masks, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "width": self.width}
