"""How the layers of a ranking model are called."""

from collections.abc import Sequence
from typing import Any

import keras


class LayerCalls:
    """Calls layers as Keras does.

    `FeatureEmbedder.fields` and `RankingNetwork` say which layers a model has and in which order they run, and call
    them through this. So the same description builds the functional graph and, with a subclass that calls the layers in
    another way, ranks many ads for one user (`models/ranking`).

    Example:

    >>> import numpy as np
    >>> user, ad = np.ones((4, 2), "float32"), np.ones((4, 3), "float32")
    >>> tuple(LayerCalls().concatenate([user, ad], name="fields").shape)
    (4, 5)
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
