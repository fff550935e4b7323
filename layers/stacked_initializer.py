"""An initializer for the weights of several networks in one tensor."""

from typing import Any

from keras import ops

from .reseeded import reseeded


def stacked_initializer(initializer: Any, axis: int = 0) -> Any:
    """An initializer that draws each network's weights as if it stood alone, and stacks them.

    A fan-in or fan-out that Keras reads from the shape of the whole tensor would count the networks, too.

    Args:
        initializer: a Keras initializer of the weights of one network.
        axis: the axis of the networks. Defaults to `0`.

    Example:

    >>> import keras
    >>> draw = stacked_initializer(keras.initializers.GlorotUniform(seed=0))
    >>> tuple(draw((3, 4, 2), dtype="float32").shape)
    (3, 4, 2)
    """

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        one = tuple(size for position, size in enumerate(shape) if position != axis)
        return ops.stack(
            [reseeded(initializer, network)(one, dtype=dtype) for network in range(shape[axis])], axis=axis
        )

    return draw
