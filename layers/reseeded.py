"""An initializer that draws other values."""

from typing import Any


def reseeded(initializer: Any, offset: int) -> Any:
    """The initializer with a seed `offset` further on; itself where it has no seed.

    A random initializer of Keras draws the same values at every call: without a
    seed it takes one when it is made, and keeps it.

    Args:
        initializer: a Keras initializer.
        offset: what is added to its seed; 0 leaves it as it is.

    Example:

    >>> import keras, numpy as np
    >>> draw = keras.initializers.RandomNormal()
    >>> bool(np.allclose(draw((3,)), draw((3,)))), bool(np.allclose(draw((3,)), reseeded(draw, 1)((3,))))
    (True, False)
    """
    seed = getattr(initializer, "seed", None)
    if not offset or not isinstance(seed, int):
        return initializer
    return type(initializer).from_config({**initializer.get_config(), "seed": seed + offset})
