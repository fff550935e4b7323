"""Fused embedding tables for many features."""

from collections.abc import Mapping
from typing import Any

import keras

from .embedding_collection import EmbeddingCollection
from .optimizers import RowOptimizer


@keras.saving.register_keras_serializable(package="grouprank")
class FusedEmbeddingCollection(EmbeddingCollection):
    """An `EmbeddingCollection` whose training cost does not grow with its size.

    Tables of one width, initializer, optimizer and storage dtype are one
    `FusedEmbedding`, which says how rows are trained and what it refuses: without
    `tables` all of them. Ids that do not count (padding, `masks`) train nothing.

    Args:
        vocabulary_sizes: feature name to number of ids, id 0 included.
        embedding_dim: width of an embedding. Defaults to `16`.
        optimizer: `"adam"`, `"adagrad"`, `"rowwise_adagrad"`, `"sgd"`, `"ftrl"` or one of
            `grouprank.layers.embedding_optimizers`; a table may have another (see `tables`). Defaults to `"adam"`.
        storage_dtype: `"float32"`, `"bfloat16"` or `"float16"`, see `FusedEmbedding`.
            Defaults to `"float32"`.
        placement: `"device"` or `"rows"`, see `FusedEmbedding`. Defaults to `"device"`.
        seed: integer seed of the rounding to half precision. Defaults to `None`.
        **kwargs: `sequences`, `combiner`, `padding_id`, `shares`, `unpooled`, `tables`, `feature_tables`
            and `embeddings_initializer` of `EmbeddingCollection`, and base layer keywords.

    Call arguments:
        inputs: dict of integer ids by feature name.
        masks: dict of booleans by sequence name, see `EmbeddingCollection`.
        weights: dict of numbers by sequence name, see `EmbeddingCollection`.
        training: `False` only looks ids up, see `FusedEmbedding`.

    Input shape:
        A dict of `(batch,)` or `(batch, 1)`; `(batch, length)` for sequences.

    Output shape:
        A dict of `(batch, width of the table)` under the same names;
        `(batch, length, width of the table)` for `unpooled` sequences.

    Raises:
        ValueError: as `EmbeddingCollection`, and on an `embeddings_regularizer`, which
            would read the whole table at every step.

    Example:

    >>> import numpy as np
    >>> layer = FusedEmbeddingCollection({"user_id": 100, "ad_id": 50}, 8, optimizer="rowwise_adagrad")
    >>> out = layer({"user_id": np.array([3, 7]), "ad_id": np.array([1, 49])})
    >>> tuple(out["ad_id"].shape)
    (2, 8)
    """

    def __init__(
        self,
        vocabulary_sizes: Mapping[str, int],
        embedding_dim: int = 16,
        optimizer: str | RowOptimizer = "adam",
        *,
        storage_dtype: str = "float32",
        placement: str = "device",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            vocabulary_sizes,
            embedding_dim,
            optimizer=optimizer,
            storage_dtype=storage_dtype,
            placement=placement,
            seed=seed,
            **kwargs,
        )
        if self.embeddings_regularizer is not None:
            raise ValueError(
                "A fused table takes no `embeddings_regularizer`: it would read every row at every step. Use the "
                "optimizer's `weight_decay`, which decays the rows of the batch. "
                f"Received: embeddings_regularizer={self.embeddings_regularizer}."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["embeddings_regularizer"]
        return config
