"""Weights in the order in which a served graph reads them."""

from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf


class ArrangedWeights:
    """Variables with weights in another order than a model has them, for graphs that are traced to be served.

    Whatever a graph asks for while it is traced is made there and then, outside of the graph, and kept: the graph reads
    a variable, and no request arranges anything. Later changes of the model's weights do not reach the graph, which is
    why this is no part of the model.

    Example:

    ```python
    arranged = ArrangedWeights()
    serve = tf.function(lambda columns: model.row_logits(columns, arranged))
    ```
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tf.Variable] = {}

    def __call__(self, key: Hashable, arrange: Callable[[], Any]) -> Any:
        """The variable of a key.

        Args:
            key: names the weights and their order.
            arrange: makes the tensor, if the key is new.
        """
        if key not in self._kept:
            with tf.init_scope():
                self._kept[key] = tf.Variable(arrange(), trainable=False, name="arranged")
        return tf.convert_to_tensor(self._kept[key])
