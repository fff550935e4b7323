"""Embeddings of items by their semantic ids."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from .semantic_ids import SemanticIds

AGGREGATES = ("sum", "concat")


@keras.saving.register_keras_serializable(package="grouprank")
class SemanticIdEmbedding(keras.layers.Layer):
    """Looks an item up by its code prefixes instead of by its id.

    An item that is new or rare has an id embedding that learned nothing. Items
    with near content share prefixes of their codes, and with them embeddings: the
    first level is learned from all items of a coarse group, the last from few or
    one. Use it in place of an ad's id embedding or beside it.

    Each level has an embedding for every prefix that occurs (the codes up to that
    level), and one for items without codes. The layer keeps the prefixes of every
    item among its weights, so that a saved model needs nothing but ids; its config
    holds the sizes alone.

    Args:
        semantic_ids: a `SemanticIds`, its `codes`, or sizes as in the config
            (`{"num_items": …, "level_sizes": […]}`) for a layer whose weights are loaded:
            until then every item is one without codes.
        embedding_dim: width of an embedding. Defaults to `16`.
        aggregate: `"sum"` or `"concat"` of the levels. Defaults to `"sum"`.
        embeddings_initializer: initializer of the embeddings. Defaults to a normal
            distribution of standard deviation `0.01`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: integer ids. An id outside `[0, num_items)` is read as 0.

    Input shape:
        Any, `(...)`: `(batch,)` for an item, `(batch, length)` for a history.

    Output shape:
        `(..., embedding_dim)`, or `(..., num_levels * embedding_dim)` for `"concat"`.

    Raises:
        ValueError: on an unknown `aggregate`, a width below 1, or codes that
            `SemanticIds` refuses.

    Example:

    >>> import numpy as np
    >>> layer = SemanticIdEmbedding([[-1, -1], [3, 0], [3, 1], [2, 2]], embedding_dim=8)
    >>> tuple(layer(np.array([1, 3, 99])).shape)
    (3, 8)

    Reference:
        Singh et al., *Better Generalization with Semantic IDs*,
        [arXiv:2306.08121](https://arxiv.org/abs/2306.08121).
    """

    def __init__(
        self,
        semantic_ids: SemanticIds | ArrayLike | Mapping[str, Any],
        embedding_dim: int = 16,
        aggregate: str = "sum",
        embeddings_initializer: str | keras.initializers.Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(embedding_dim, int) or embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be a positive integer. Received: embedding_dim={embedding_dim!r}.")
        if aggregate not in AGGREGATES:
            raise ValueError(f"`aggregate` must be one of {AGGREGATES}. Received: aggregate={aggregate!r}.")
        prefixes: np.ndarray | None = None
        if isinstance(semantic_ids, Mapping):
            self.num_items = int(semantic_ids["num_items"])
            self.level_sizes = tuple(semantic_ids["level_sizes"])
        else:
            if not isinstance(semantic_ids, SemanticIds):
                codes = np.asarray(semantic_ids)
                semantic_ids = SemanticIds(codes, codebook_size=int(codes.max(initial=-1)) + 1)
            prefixes, self.level_sizes = semantic_ids.prefix_ids()
            self.num_items = semantic_ids.num_items
        self._initial_prefixes = prefixes
        self.embedding_dim = embedding_dim
        self.aggregate = aggregate
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.01)
        )
        self._first_row = np.cumsum([0, *self.level_sizes[:-1]]).tolist()

    def build(self, input_shape: Any = None) -> None:
        """Create the prefixes of the items and one table for all levels."""
        self.prefixes = self.add_weight(
            name="prefixes",
            shape=(self.num_items, len(self.level_sizes)),
            initializer="zeros",
            dtype="int32",
            trainable=False,
        )
        if self._initial_prefixes is not None:
            self.prefixes.assign(self._initial_prefixes)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(sum(self.level_sizes), self.embedding_dim),
            initializer=self.embeddings_initializer,
            # Under mixed precision the rows looked up are cast, not the table.
            autocast=False,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Embed the prefixes of the items and aggregate them."""
        ids = ops.convert_to_tensor(inputs)
        inside = ops.logical_and(ids >= 0, ids < self.num_items)
        items = ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32")
        rows = ops.take(self.prefixes, items, axis=0) + ops.convert_to_tensor(self._first_row, dtype="int32")
        vectors = ops.cast(ops.take(self.embeddings, rows, axis=0), self.compute_dtype)
        if self.aggregate == "sum":
            return ops.sum(vectors, axis=-2)
        return ops.reshape(vectors, (*ops.shape(ids), len(self.level_sizes) * self.embedding_dim))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        levels = len(self.level_sizes) if self.aggregate == "concat" else 1
        return (*input_shape, levels * self.embedding_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, sizes in place of the codes."""
        return {
            **super().get_config(),
            "semantic_ids": {"num_items": self.num_items, "level_sizes": list(self.level_sizes)},
            "embedding_dim": self.embedding_dim,
            "aggregate": self.aggregate,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
