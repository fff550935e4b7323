"""The base of sequence encoders: the vectors of a history go in, one vector comes out."""

from typing import Any

import keras
from keras import ops


class SequenceEncoder(keras.layers.Layer):
    """Base class of layers that turn a history into one vector.

    Every encoder takes the same arguments, so that a model can use any of them.
    To write your own, subclass this, implement `call` (and `get_config` if it
    takes arguments) and register it with Keras so that models save and export.
    Begin `call` with `counted`: positions that do not count may hold anything.

    Where the output does not depend on the target, set the class attribute
    `reads_target` to `False`: `CTRModel.rank` then reads a history once for all ads
    of a request.

    Sequences run from the oldest position to the newest. Padding may stand at
    either end; the mask tells.

    Call arguments:
        sequence: vectors of the history.
        target: vector of what is ranked; encoders that do not look at it ignore it.
            Defaults to `None`.
        mask: boolean `(batch, length)`, `False` where a position does not count;
            `None` if all do. Defaults to `None`.
        training: whether the model is training.

    Input shape:
        `(batch, length, dim)`, the target `(batch, dim)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no position counts.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class Maximum(SequenceEncoder):
    ...     def call(self, sequence, target=None, mask=None, training=None):
    ...         sequence, _ = self.counted(sequence, mask)
    ...         return keras.ops.max(sequence, axis=1)
    """

    reads_target: bool = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def counted(self, sequence: Any, mask: Any) -> tuple[Any, Any]:
        """The sequence with zeros where positions do not count, and a boolean `(batch, length)` of those that do."""
        if mask is None:
            return sequence, ops.ones_like(sequence[..., 0], dtype="bool")
        mask = ops.cast(mask, "bool")
        return ops.where(ops.expand_dims(mask, -1), sequence, ops.zeros_like(sequence)), mask

    @staticmethod
    def newer(mask: Any) -> Any:
        """How many of the positions that count come after each position, int32.

        Args:
            mask: boolean `(batch, length)`.
        """
        counts = ops.cast(mask, "int32")
        return ops.sum(counts, axis=1, keepdims=True) - ops.cumsum(counts, axis=1)

    def newest(self, states: Any, mask: Any) -> Any:
        """The states at the newest position that counts, `(batch, dim)`; zeros where none does.

        Args:
            states: `(batch, length, dim)`.
            mask: boolean `(batch, length)`.
        """
        newest = ops.logical_and(mask, ops.equal(self.newer(mask), 0))
        return ops.sum(ops.where(ops.expand_dims(newest, -1), states, ops.zeros_like(states)), axis=1)

    def call(self, sequence: Any, target: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """One vector for each history."""
        raise NotImplementedError(f"{type(self).__name__} must implement `call`.")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """`None`, since the output has no positions."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], input_shape[-1])
