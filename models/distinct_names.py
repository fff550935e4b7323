"""Names for the operations of a model that are none of its columns' names."""

from collections.abc import Iterable
from typing import Any

import keras


def distinct_names(outputs: Any, columns: Iterable[str]) -> None:
    """Rename the operations of a graph that bear the name of a column, or of each other.

    Keras refuses a graph in which a name occurs twice. A table may have a column named `backbone`, as a layer is, or
    `stack`, as Keras names an operation, and whether it does so depends on the models made before.

    Args:
        outputs: symbolic outputs of the graph, nested as you like. Their operations choose their names first.
        columns: names of the graph's inputs, which stay.

    Example:

    >>> price = keras.Input((1,), name="price")
    >>> layer = keras.layers.Dense(1, name="price")
    >>> outputs = {"click": layer(price)}
    >>> distinct_names(outputs, ["price"])
    >>> layer.name
    'price_1'
    """
    taken = set(columns)
    for operation in _operations(keras.tree.flatten(outputs)):
        if isinstance(operation, keras.layers.InputLayer):
            continue
        name, number = operation.name, 0
        while operation.name in taken:
            number += 1
            operation.name = f"{name}_{number}"
        taken.add(operation.name)


def _operations(outputs: list[Any]) -> list[Any]:
    """Operations of the graph, each once, those of the outputs first, in an order that the graph alone decides."""
    found = {id(tensor._keras_history.operation): tensor._keras_history.operation for tensor in outputs}
    waiting, seen = outputs[::-1], set[int]()
    while waiting:
        operation, index, _ = waiting.pop()._keras_history
        # An operation has a node for each place in which it stands, in other graphs too.
        node = operation._inbound_nodes[index]
        if id(node) not in seen:
            seen.add(id(node))
            found[id(operation)] = operation
            waiting.extend(node.input_tensors[::-1])
    return list(found.values())
