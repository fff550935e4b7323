"""Files of a model without the state of its optimizers."""

import contextlib
from collections.abc import Iterator

import keras

from ..layers import FusedEmbedding


@contextlib.contextmanager
def without_optimizers(model: keras.Model) -> Iterator[None]:
    """Let files that are written in the block hold what predictions need, and no optimizer's state.

    The optimizers of the model, of models within it, and the slots of fused tables are there again after the block.

    Args:
        model: the model.

    Example:

    ```python
    with without_optimizers(model):
        model.save("predicts.keras")
    ```
    """
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if isinstance(layer, FusedEmbedding):
                stack.enter_context(layer.without_slots())
            elif isinstance(layer, keras.Model) and "optimizer" in vars(layer):
                # Keras saves what it finds among the attributes. Assigning to one would let TensorFlow track it.
                stack.callback(vars(layer).update, optimizer=vars(layer).pop("optimizer"))
        yield
