"""How the layers of a ranking model are called."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..layers import MLP


class LayerCalls:
    """Calls layers as Keras does.

    `FeatureEmbedder.fields` and `RankingNetwork` say which layers a model has and in which order they run, and call
    them through this. So the same description builds the functional graph and, with a subclass that calls the layers in
    another way, ranks many ads for one user (`models/ranking`).

    Example:

    >>> import numpy as np
    >>> towers = {"click": MLP((2,)), "like": MLP((3,))}
    >>> outputs = LayerCalls().networks(towers, dict.fromkeys(towers, np.ones((4, 5), "float32")))
    >>> tuple(outputs["like"].shape)
    (4, 3)
    """

    def layer(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer's outputs."""
        return layer(*args, **kwargs)

    def concatenate(self, columns: Sequence[Any], name: str) -> Any:
        """Several `(rows, width)` side by side.

        Args:
            columns: the tensors.
            name: name of the step in the graph.
        """
        return keras.layers.Concatenate(name=name)(list(columns))

    def networks(self, networks: Mapping[str, MLP], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of several networks by name.

        Args:
            networks: networks of one activation and dtype.
            inputs: what each of them reads; it may be one and the same tensor.
        """
        return {name: self.layer(network, inputs[name]) for name, network in networks.items()}
