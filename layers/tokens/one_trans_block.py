"""A Transformer block in which histories share weights and fields have their own."""

from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, check_rate, known_sizes
from ..stacked_initializer import stacked_initializer
from .per_token_mlp import PerTokenMLP


@keras.saving.register_keras_serializable(package="grouprank")
class OneTransBlock(keras.layers.Layer):
    """Self-attention and feed-forward networks over tokens of histories and of fields, in one sequence.

    Positions of a history are alike, so they share projections and a feed-forward network. Tokens of fields stand after
    them and differ in kind, so each has projections and a network of its own:

        x = x + attention(rms_norm(x)) W + b
        y = x + mlp(rms_norm(x))

    The caller says which token may attend to which, so that the tokens of a request may be read before others that
    attend to them.

    Args:
        num_own_tokens: number of tokens, the last ones, with weights of their own.
        num_heads: number of attention heads; must divide the tokens' width. Defaults to `2`.
        expansion: width of the hidden layer of a network, in widths of a token. Defaults to `2`.
        dropout: dropout rate of the attention's output and of the hidden layers. Defaults to `0.0`.
        updates_shared: whether tokens that share weights are updated. Of a last block, after which nothing reads them,
            only their keys and values are needed; it then returns the other tokens alone. Defaults to `True`.
        epsilon: of the normalizations. Defaults to `1e-6`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        x: the tokens, first those that share weights, or some of them.
        allowed: whether a token that is updated may attend to another, boolean `(batch or 1, updated, read)`.
        shared: how many of the tokens given share weights. Defaults to `0`.
        first: which of the tokens with weights of their own comes first. Defaults to `0`.
        memory: keys and values of tokens before these, which are read first. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, tokens, width)`.

    Returns:
        New tokens of those that are updated, and the keys and values of all tokens given.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or a width that `num_heads` does not divide.

    Example:

    >>> import numpy as np
    >>> x, allowed = np.ones((4, 3, 8), "float32"), np.tril(np.ones((1, 3, 3), "bool"))
    >>> block = OneTransBlock(1)
    >>> block.build((None, 3, 8))
    >>> tuple(block(x, allowed=allowed, shared=2)[0].shape)
    (4, 3, 8)

    Reference:
        Zhang et al., *OneTrans*, [arXiv:2510.26104](https://arxiv.org/abs/2510.26104), section 3.3.
    """

    def __init__(
        self,
        num_own_tokens: int,
        num_heads: int = 2,
        expansion: int = 2,
        dropout: float = 0.0,
        updates_shared: bool = True,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_own_tokens=num_own_tokens, num_heads=num_heads, expansion=expansion)
        check_rate(dropout=dropout)
        self.num_own_tokens, self.num_heads, self.expansion = num_own_tokens, num_heads, expansion
        self.dropout, self.updates_shared, self.epsilon = dropout, updates_shared, epsilon
        policy = {"dtype": self.dtype_policy}
        self._attention_norm, self._mlp_norm = (
            keras.layers.RMSNormalization(epsilon=epsilon, name=name, **policy)
            for name in ("attention_norm", "mlp_norm")
        )
        self._dropout = keras.layers.Dropout(dropout, name="dropout", **policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights that are shared, if any token shares them, and those of single tokens."""
        tokens, width = known_sizes(input_shape)
        if width % self.num_heads or tokens < self.num_own_tokens:
            raise ValueError(
                "`num_heads` must divide the tokens' width, and there must be `num_own_tokens`. Received: "
                f"{tokens} tokens of width {width}, num_heads={self.num_heads}, num_own_tokens={self.num_own_tokens}."
            )
        policy = {"dtype": self.dtype_policy}
        hidden = self.expansion * width
        self._projections: Any = None
        self._hidden: Any = None
        self._made: Any = None
        if tokens > self.num_own_tokens:
            self._projections = keras.layers.Dense((2 + self.updates_shared) * width, name="projections", **policy)
            self._projections.build((None, None, width))
            if self.updates_shared:
                self._hidden = keras.layers.Dense(hidden, "gelu", name="hidden", **policy)
                self._hidden.build((None, None, width))
                self._made = keras.layers.Dense(width, name="made", **policy)
                self._made.build((None, None, hidden))
        draw = stacked_initializer(keras.initializers.GlorotUniform())
        shape = (self.num_own_tokens, width, 3 * width)
        self._own_kernel = self.add_weight(name="own_projections_kernel", shape=shape, initializer=draw)
        self._own_bias = self.add_weight(
            name="own_projections_bias", shape=(self.num_own_tokens, 3 * width), initializer="zeros"
        )
        self._own_mlp = PerTokenMLP(hidden, dropout=self.dropout, name="own_mlp", **policy)
        self._own_mlp.build((None, self.num_own_tokens, width))
        self._output = keras.layers.Dense(width, name="output", **policy)
        for layer in (self._attention_norm, self._mlp_norm, self._output):
            layer.build((None, None, width))
        self.built = True

    def call(
        self,
        x: Any,
        allowed: Any,
        shared: int = 0,
        first: int = 0,
        memory: tuple[Any, Any] | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any]:
        """New tokens, keys and values."""
        width, of = x.shape[2], slice(first, first + x.shape[1] - shared)
        normed, parts = self._attention_norm(x), []
        if shared:
            found = self._projections(normed[:, :shared])
            parts.append(ops.split(found, found.shape[-1] // width, axis=-1))
        if x.shape[1] > shared:
            found = ops.einsum("bti,tio->bto", normed[:, shared:], self._own_kernel[of]) + self._own_bias[of]
            parts.append(ops.split(found, 3, axis=-1))
        if shared and not self.updates_shared:
            x, shared = x[:, shared:], 0
        # Tokens that are not updated have no queries.
        queries = self._heads([part[0] for part in parts if len(part) == 3])
        keys, values = (self._heads([part[place] for part in parts]) for place in (-2, -1))
        if queries is None:
            return x, keys, values
        read = (keys, values)
        if memory is not None:
            read = tuple(ops.concatenate(pair, axis=1) for pair in zip(memory, read, strict=True))
        scores = ops.einsum("bihd,bjhd->bhij", queries, read[0]) / (width // self.num_heads) ** 0.5
        scores = ops.where(ops.expand_dims(allowed, 1), ops.cast(scores, "float32"), -1e9)
        weights = ops.cast(ops.softmax(scores, axis=-1), queries.dtype)
        attended = ops.reshape(ops.einsum("bhij,bjhd->bihd", weights, read[1]), (-1, x.shape[1], width))
        x = x + self._dropout(self._output(attended), training=training)

        def shared_mlp(tokens: Any) -> Any:
            return self._made(self._dropout(self._hidden(tokens), training=training))

        made = self._joined(
            self._mlp_norm(x), shared, shared_mlp, lambda own: self._own_mlp(own, first=first, training=training)
        )
        return x + made, keys, values

    def _heads(self, parts: list[Any]) -> Any:
        """Parts of the tokens one after the other, cut into heads; `None` where there are none."""
        if not parts:
            return None
        x = ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        return ops.reshape(x, (-1, x.shape[1], self.num_heads, x.shape[2] // self.num_heads))

    def _joined(self, x: Any, shared: int, of_shared: Any, of_own: Any) -> Any:
        """What the shared weights make of the first tokens, and then what those of single tokens make of theirs."""
        if not shared:
            return of_own(x)
        if shared == x.shape[1]:
            return of_shared(x)
        return ops.concatenate([of_shared(x[:, :shared]), of_own(x[:, shared:])], axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_own_tokens": self.num_own_tokens,
            "num_heads": self.num_heads,
            "expansion": self.expansion,
            "dropout": self.dropout,
            "updates_shared": self.updates_shared,
            "epsilon": self.epsilon,
        }
