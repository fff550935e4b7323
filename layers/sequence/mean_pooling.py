"""The mean of a history."""

from typing import Any

import keras
from keras import ops

from .sequence_encoder import SequenceEncoder


@keras.saving.register_keras_serializable(package="grouprank")
class MeanPooling(SequenceEncoder):
    """Averages the positions of a history that count.

    The plainest encoder, and the one to compare others with: it knows neither
    the order of the history nor what is ranked.

    Args:
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        sequence: vectors of the history.
        target: ignored.
        mask: boolean `(batch, length)`, `False` where a position does not count;
            `None` if all do. Defaults to `None`.
        training: no effect.

    Input shape:
        `(batch, length, dim)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no position counts.

    Example:

    >>> import numpy as np
    >>> history = np.array([[[1.0], [3.0], [0.0]]], "float32")
    >>> mean = MeanPooling()(history, mask=np.array([[True, True, False]]))
    >>> float(mean[0, 0])
    2.0
    """

    reads_target = False

    def call(self, sequence: Any, target: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """Mean over the positions that count."""
        sequence, mask = self.counted(sequence, mask)
        count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
        return ops.sum(sequence, axis=1) / ops.cast(ops.maximum(count, 1), sequence.dtype)
