"""Weights in the order in which a served graph reads them."""

from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf


class ArrangedWeights:
    """Variables that hold a model's weights in another order, for graphs that are traced for serving.

    What a graph asks for while it is traced is made at once, outside of the graph, and kept. So the graph reads a
    variable, and no request has to arrange weights. Later changes of the model's weights do not reach the graph; this
    is why the class is not part of the model.

    Example:

    ```python
    arranged = ArrangedWeights()
    serve = tf.function(lambda columns: model.row_logits(columns, arranged), autograph=False)
    ```
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tf.Variable] = {}
        # By the identity of a variable: makes its tensor again, from what the weights are then.
        self.arrangements: dict[int, Callable[[], Any]] = {}

    def __call__(self, key: Hashable, arrange: Callable[[], Any]) -> Any:
        """The variable of a key.

        Args:
            key: names the weights and their order.
            arrange: makes the tensor, if the key is new.
        """
        if key not in self._kept:
            with tf.init_scope():
                self._kept[key] = tf.Variable(arrange(), trainable=False, name="arranged")
            self.arrangements[id(self._kept[key])] = arrange
        return tf.convert_to_tensor(self._kept[key])
