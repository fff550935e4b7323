"""One embedding table for many features."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class EmbeddingCollection(keras.layers.Layer):
    """Looks up the embeddings of many categorical features in one stacked table.

    Ranking models have tens of id columns. One table with an offset per feature
    turns their lookups into one gather and their weights into one variable.

    Id 0 is out-of-vocabulary. An id outside its feature's range is read as 0 on
    every backend: JAX would return NaN for it, TensorFlow and torch raise. (JAX cuts
    64-bit ids to 32 bits before any layer sees them; `Schema.check` finds those.)

    Args:
        vocabulary_sizes: feature name to number of ids, id 0 included.
        embedding_dim: width of an embedding. Defaults to `16`.
        sequences: names of features with several ids a row; their embeddings are
            averaged over ids other than 0 (zero where there are none). Defaults to `()`.
        shares: feature name to the name of the feature whose rows it uses; such
            a feature has no rows of its own. Defaults to `None`.
        embeddings_initializer: initializer of the table. Defaults to a normal
            distribution of standard deviation `0.01`.
        embeddings_regularizer: regularizer of the table. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of integer ids by feature name.

    Input shape:
        A dict of `(batch,)` or `(batch, 1)`; `(batch, length)` for sequences.

    Output shape:
        A dict of `(batch, embedding_dim)` under the same names.

    Raises:
        ValueError: on a size below 1 or a `shares` entry that names no feature
            with rows of its own.

    Example:

    >>> import numpy as np
    >>> layer = EmbeddingCollection({"user_id": 100, "ad_id": 50}, embedding_dim=8)
    >>> out = layer({"user_id": np.array([3, 7]), "ad_id": np.array([1, 49])})
    >>> tuple(out["ad_id"].shape)
    (2, 8)
    """

    def __init__(
        self,
        vocabulary_sizes: Mapping[str, int],
        embedding_dim: int = 16,
        sequences: Any = (),
        shares: Mapping[str, str] | None = None,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_sizes = dict(vocabulary_sizes)
        self.embedding_dim = embedding_dim
        self.sequences = tuple(sequences)
        self.shares = dict(shares or {})
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.01)
        )
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be a positive integer. Received: embedding_dim={embedding_dim}.")
        for name, size in self.vocabulary_sizes.items():
            if size < 1:
                raise ValueError(f"Feature {name!r}: the vocabulary size must be at least 1. Received: {size}.")
        owners = [name for name in self.vocabulary_sizes if name not in self.shares]
        for name, owner in self.shares.items():
            if name not in self.vocabulary_sizes or owner not in owners:
                raise ValueError(
                    f"`shares` maps a feature to one that owns its rows. Received: {name!r} -> {owner!r}. "
                    f"Owners: {owners}."
                )
        starts = np.cumsum([0, *(self.vocabulary_sizes[name] for name in owners)])
        self._first_row = dict(zip(owners, starts[:-1].tolist(), strict=True))
        self._first_row.update({name: self._first_row[owner] for name, owner in self.shares.items()})
        self.num_rows = int(starts[-1])

    def build(self, input_shape: Any) -> None:
        """Create the stacked table."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_rows, self.embedding_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Embed every feature."""
        singles = [name for name in self.vocabulary_sizes if name not in self.sequences]
        outputs: dict[str, Any] = {}
        if singles:
            rows = ops.stack([ops.reshape(self._rows(name, inputs[name]), (-1,)) for name in singles], axis=1)
            vectors = ops.unstack(ops.take(self.embeddings, rows, axis=0), axis=1)
            outputs.update(zip(singles, vectors, strict=True))
        for name in self.sequences:
            vectors = ops.take(self.embeddings, self._rows(name, inputs[name]), axis=0)
            observed = ops.expand_dims(ops.cast(self._valid_ids(name, inputs[name]) > 0, vectors.dtype), -1)
            count = ops.maximum(ops.sum(observed, axis=1), 1.0)
            outputs[name] = ops.sum(vectors * observed, axis=1) / count
        return {name: outputs[name] for name in self.vocabulary_sizes}

    def _valid_ids(self, name: str, ids: Any) -> Any:
        ids = ops.convert_to_tensor(ids)
        inside = ops.logical_and(ids >= 0, ids < self.vocabulary_sizes[name])
        return ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32")

    def _rows(self, name: str, ids: Any) -> Any:
        return self._valid_ids(name, ids) + self._first_row[name]

    def compute_output_shape(self, input_shape: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return {name: (input_shape[name][0], self.embedding_dim) for name in self.vocabulary_sizes}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_sizes": self.vocabulary_sizes,
            "embedding_dim": self.embedding_dim,
            "sequences": list(self.sequences),
            "shares": self.shares,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
        }
