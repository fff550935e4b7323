"""The groups that a ranking model has learned at its placements."""

import functools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import world_size
from ..layers import GroupConcat, GroupIds
from .checks.dealt_rows import predictions
from .distinct_names import distinct_names
from .some_batches import some_batches


class LearnedGroups:
    """Reads group ids out of a model's graph, and starts the codebooks that they come from.

    Args:
        inputs: symbolic inputs of the model, by column.
        layers: the layer of each placement, in the order in which data flows through them.
        learned_of: what each placement's groups are learned of, symbolic tensors of the model's graph.
    """

    def __init__(
        self, inputs: Mapping[str, Any], layers: Mapping[str, GroupConcat], learned_of: Mapping[str, Any]
    ) -> None:
        self._inputs, self._layers, self._learned_of = dict(inputs), dict(layers), dict(learned_of)

    def ids_model(self) -> keras.Model:
        """A model of the same weights from columns to `{placement: group ids}`."""
        ids = {p: GroupIds(layer, name=f"{p}_ids")(self._learned_of[p]) for p, layer in self._layers.items()}
        distinct_names(ids, self._inputs)
        return keras.Model(self._inputs, ids)

    def residual_norms(self, x: Any, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """See `CTRModel.residual_norms`; `x` are checked columns."""
        model = keras.Model(self._inputs, self._learned_of)
        vectors = predictions(model, lambda x: model.predict(x, batch_size=batch_size, verbose=0), x, batch_size)
        return {p: ops.convert_to_numpy(layer.residual_norms(vectors[p])) for p, layer in self._layers.items()}

    def adapt(self, x: Any, max_rows: int) -> None:
        """Start every placement's codebooks from k-means.

        Args:
            x: checked columns, or a loader whose batches start with columns.
            max_rows: number of rows kept for k-means.
        """
        if not isinstance(x, Mapping) and keras.backend.backend() == "jax" and world_size() > 1:
            # Outside of a compiled step, processes of JAX cannot work on rows of their own.
            parts = [batch[0] for batch in some_batches(x, 2 * max_rows)]
            x = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for placement, layer in self._layers.items():
            # One after another: the representation depends on the groups before it.
            vectors = keras.Model(self._inputs, self._learned_of[placement])
            if isinstance(x, Mapping):
                layer.adapt(predictions(vectors, functools.partial(vectors.predict, verbose=0), x, None), max_rows)
            else:
                # Called as they are: compiling a prediction for a glance at the data takes longer.
                layer.adapt((vectors(batch[0], training=False) for batch in some_batches(x, 2 * max_rows)), max_rows)
