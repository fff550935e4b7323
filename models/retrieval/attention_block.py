"""A block of a Transformer that encodes or decodes."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class AttentionBlock(keras.layers.Layer):
    """Self-attention, attention to a memory, and a feed-forward network, each of them normalized before and added.

    It is a block of T5 but for its attention, whose products are divided by the root of a head's width, and which knows
    no positions:

        x = x + dropout(attention(rms_norm(x)))
        x = x + dropout(attention(rms_norm(x), memory))     (in a decoder)
        x = x + dropout(W₂ relu(W₁ rms_norm(x)))

    Args:
        width: width of the tokens.
        num_heads: number of attention heads; must divide `width`.
        hidden_units: width of the feed-forward network's hidden layer.
        dropout: dropout rate of what is added, and of the hidden layer. Defaults to `0.0`.
        decodes: whether a token attends to those before it alone, and then to the memory. Defaults to `False`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        x: the tokens. In a decoder several sequences may follow one another for each row of the memory.
        counted: which tokens, of `x` or in a decoder of the memory, may be attended to, boolean `(batch, tokens)`.
        memory: what a decoder reads, `(batch, read, width)`. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, tokens, width)`; in a decoder `(batch * sequences, tokens, width)`.

    Output shape:
        As the tokens.

    Raises:
        ValueError: on a width that `num_heads` does not divide.

    Example:

    >>> import numpy as np
    >>> x, counted = np.ones((2, 5, 8), "float32"), np.ones((2, 5), "bool")
    >>> tuple(AttentionBlock(8, num_heads=2, hidden_units=16)(x, counted).shape)
    (2, 5, 8)

    Reference:
        Raffel et al., *T5*, [arXiv:1910.10683](https://arxiv.org/abs/1910.10683), section 2.1.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_units: int,
        dropout: float = 0.0,
        decodes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if width % num_heads:
            raise ValueError(f"`num_heads` must divide `width`. Received: num_heads={num_heads}, width={width}.")
        self.width, self.num_heads, self.hidden_units = width, num_heads, hidden_units
        self.dropout, self.decodes = dropout, decodes
        policy = {"dtype": self.dtype_policy}
        steps = ("attention", "memory", "feed_forward") if decodes else ("attention", "feed_forward")
        self._norms = {step: keras.layers.RMSNormalization(name=f"{step}_norm", **policy) for step in steps}
        self._attentions = {
            step: keras.layers.MultiHeadAttention(num_heads, width // num_heads, use_bias=False, name=step, **policy)
            for step in steps[:-1]
        }
        self._hidden = keras.layers.Dense(hidden_units, "relu", use_bias=False, name="hidden", **policy)
        self._output = keras.layers.Dense(width, use_bias=False, name="output", **policy)
        self._dropouts = {
            step: keras.layers.Dropout(dropout, name=f"{step}_dropout", **policy) for step in (*steps, "hidden")
        }

    def build(self, input_shape: Any = None) -> None:
        """Create the weights."""
        shape = (None, None, self.width)
        for norm in self._norms.values():
            norm.build(shape)
        for attention in self._attentions.values():
            attention.build(shape, shape)
        self._hidden.build(shape)
        self._output.build((None, None, self.hidden_units))
        self.built = True

    def call(self, x: Any, counted: Any, memory: Any = None, training: bool | None = None) -> Any:
        """The new tokens."""
        normed = self._norms["attention"](x)
        if self.decodes:
            found = self._attentions["attention"](normed, normed, use_causal_mask=True, training=training)
        else:
            found = self._attend("attention", normed, normed, counted, training)
        x = x + self._dropouts["attention"](found, training=training)
        if self.decodes:
            # The sequences of a row stand side by side, so that its memory is read once for all of them.
            normed = ops.reshape(self._norms["memory"](x), (ops.shape(memory)[0], -1, self.width))
            found = ops.reshape(self._attend("memory", normed, memory, counted, training), ops.shape(x))
            x = x + self._dropouts["memory"](found, training=training)
        hidden = self._dropouts["hidden"](self._hidden(self._norms["feed_forward"](x)), training=training)
        return x + self._dropouts["feed_forward"](self._output(hidden), training=training)

    def _attend(self, step: str, queries: Any, read: Any, counted: Any, training: bool | None) -> Any:
        shape = (ops.shape(read)[0], ops.shape(queries)[1], ops.shape(read)[1])
        allowed = ops.broadcast_to(ops.expand_dims(counted, 1), shape)
        return self._attentions[step](queries, read, attention_mask=allowed, training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "decodes": self.decodes,
        }
