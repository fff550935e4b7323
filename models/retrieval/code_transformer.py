"""The encoder and decoder of a generative retrieval model."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ...layers.check_arguments import check_positive, check_rate
from .attention_block import AttentionBlock


@keras.saving.register_keras_serializable(package="grouprank")
class CodeTransformer(keras.layers.Layer):
    """Reads the codes of a history, and says of prefixes of codes which codes follow.

    `GenerativeRetrievalModel` says how it reads the paper.

    Args:
        num_levels: number of codes of an item.
        codebook_size: number of codes of a level.
        history_length: most items of a history.
        width: width of tokens.
        num_heads: number of attention heads.
        encoder_layers: number of the encoder's blocks.
        decoder_layers: number of the decoder's blocks.
        dropout: dropout rate.
        hidden_units: width of the feed-forward networks.
        user_tokens: number of tokens that users share, `0` for a model that does not read users.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        codes: codes of the histories' items, -1 where an item has none.
        users: user ids, `None` without `user_tokens`. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, length, num_levels)`.

    Returns:
        `"states"`, `(batch, 1 + length * num_levels, width)`, and `"counted"`, which of them may be attended to.

    Example:

    >>> import numpy as np
    >>> layer = CodeTransformer(2, 4, 3, 8, 2, 1, 1, 0.0, 16, 0)
    >>> read = layer(np.array([[[-1, -1], [0, 1], [0, 2]]]))
    >>> tuple(read["states"].shape), tuple(layer.logits(read, [np.array([[3, 1]])]).shape)
    ((1, 7, 8), (1, 2, 2, 4))
    """

    def __init__(
        self,
        num_levels: int,
        codebook_size: int,
        history_length: int,
        width: int,
        num_heads: int,
        encoder_layers: int,
        decoder_layers: int,
        dropout: float,
        hidden_units: int,
        user_tokens: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = {"history_length": history_length, "width": width, "num_heads": num_heads, "hidden_units": hidden_units}
        check_positive(**sizes, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        if user_tokens != 0:
            check_positive(user_tokens=user_tokens)
        check_rate(dropout=dropout)
        self.num_levels, self.codebook_size, self.history_length = num_levels, codebook_size, history_length
        self.width, self.num_heads, self.hidden_units, self.dropout = width, num_heads, hidden_units, dropout
        self.encoder_layers, self.decoder_layers, self.user_tokens = encoder_layers, decoder_layers, user_tokens
        policy = {"dtype": self.dtype_policy}
        # Products of normalized states with rows of this deviation have a variance near 1.
        tables = {
            # The last row is where a decoder begins.
            "codes": num_levels * codebook_size + 1,
            "places": history_length,
            "users": max(1, user_tokens),
        }
        self._codes, self._places, self._users = (
            keras.layers.Embedding(
                rows, width, keras.initializers.RandomNormal(stddev=width**-0.5), name=name, **policy
            )
            for name, rows in tables.items()
        )
        self._encoder, self._decoder = (
            [
                AttentionBlock(width, num_heads, hidden_units, dropout, decodes, name=f"{role}_{index}", **policy)
                for index in range(number)
            ]
            for role, number, decodes in (("encoder", encoder_layers, False), ("decoder", decoder_layers, True))
        )
        self._encoder_norm, self._decoder_norm = (
            keras.layers.RMSNormalization(name=f"{role}_norm", **policy) for role in ("encoder", "decoder")
        )
        self._dropout = keras.layers.Dropout(dropout, name="dropout", **policy)

    def build(self, input_shape: Any = None) -> None:
        """Create the weights."""
        for table in (self._codes, self._places, self._users):
            table.build()
        for layer in (*self._encoder, self._encoder_norm, *self._decoder, self._decoder_norm):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, codes: Any, users: Any = None, training: bool | None = None) -> dict[str, Any]:
        """Read histories."""
        codes = ops.cast(codes, "int32")
        length, there = codes.shape[1], codes[:, :, 0] >= 0
        ones = ops.cast(there, "int32")
        newer = ops.sum(ones, axis=1, keepdims=True) - ops.cumsum(ones, axis=1)
        rows = ops.maximum(codes, 0) + ops.arange(self.num_levels, dtype="int32") * self.codebook_size
        tokens = self._codes(rows) + ops.expand_dims(self._places(newer), 2)
        tokens = ops.reshape(tokens, (-1, length * self.num_levels, self.width))
        user = ops.zeros_like(ones[:, :1])
        if self.user_tokens:
            user = ops.reshape(ops.cast(users, "int32"), (-1, 1)) % self.user_tokens
        x = self._dropout(ops.concatenate([self._users(user), tokens], axis=1), training=training)
        # The user's token always counts: what attends to nothing is NaN on some backends.
        counted = ops.concatenate([user >= 0, ops.repeat(there, self.num_levels, axis=1)], axis=1)
        for block in self._encoder:
            x = block(x, counted, training=training)
        return {"states": self._encoder_norm(x), "counted": counted}

    def logits(self, read: Mapping[str, Any], codes: list[Any], training: bool | None = None) -> Any:
        """Logits of each level's codes, given those before.

        Args:
            read: what a call returned.
            codes: the first codes of prefixes, a `(batch, prefixes)` for each level.
            training: dropout is active only if `True`. Defaults to `None`.

        Returns:
            Float32 `(batch, prefixes, 1 + len(codes), codebook_size)`.
        """
        size, tokens = self.codebook_size, 1 + len(codes)
        batch, prefixes = ops.shape(read["states"])[0], codes[0].shape[1] if codes else 1
        begin = ops.full((batch, prefixes), self.num_levels * size, "int32")
        rows = ops.stack([begin, *(ops.cast(of, "int32") + level * size for level, of in enumerate(codes))], axis=2)
        x = self._dropout(self._codes(ops.reshape(rows, (-1, tokens))), training=training)
        for block in self._decoder:
            x = block(x, read["counted"], read["states"], training=training)
        x = ops.cast(self._decoder_norm(x), "float32")
        table = ops.cast(self._codes.embeddings, "float32")[: tokens * size]
        found = ops.einsum("btd,tvd->btv", x, ops.reshape(table, (tokens, size, self.width)))
        return ops.reshape(found, (-1, prefixes, tokens, size))

    def log_probabilities(self, read: Mapping[str, Any], codes: Any, training: bool | None = None) -> Any:
        """Those of the codes of items, each given the codes before: float32 `(batch, items, num_levels)`.

        Args:
            read: what a call returned.
            codes: `(batch, items, num_levels)`.
            training: dropout is active only if `True`. Defaults to `None`.
        """
        before = [codes[:, :, level] for level in range(self.num_levels - 1)]
        found = ops.log_softmax(self.logits(read, before, training), axis=-1)
        # As many prefixes as there are items; without any code before, there is one for all.
        found = ops.broadcast_to(found, (*ops.shape(codes), self.codebook_size))
        return ops.take_along_axis(found, ops.expand_dims(codes, -1), axis=-1)[..., 0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("num_levels", "codebook_size", "history_length", "width", "num_heads", "encoder_layers")
        more = ("decoder_layers", "dropout", "hidden_units", "user_tokens")
        return {**super().get_config(), **{name: getattr(self, name) for name in (*names, *more)}}
