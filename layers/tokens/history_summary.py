"""A few gated vectors of histories."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, known_sizes
from ..sequence import SequenceEncoder


@keras.saving.register_keras_serializable(package="grouprank")
class HistorySummary(keras.layers.Layer):
    """Picks what is read of histories elsewhere: some tokens as they are, some pooled, and the newest positions.

    The tokens before the histories have read these, and are taken as they are. Learned queries attend to all tokens.
    The newest positions of each history stand for the user's present interest; a history with fewer positions has
    zeros in their place. One gate, shared by all vectors, lets each pass in part:

        m = [tokens before; attention(queries, tokens); newest positions of each history, the newest first]
        output = m ⊙ sigmoid(m V + b)

    Args:
        lengths: lengths of the histories, which are the last of the tokens, one after the other.
        num_pooled: number of learned queries. Defaults to `2`.
        num_recent: number of newest positions of each history. Defaults to `2`.
        num_heads: attention heads, each `dim // num_heads` wide, at least 1. Defaults to `2`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"tokens"`, of floating dtype, and `"mask"`, boolean, `False` where a token does not count.
            At least one token of a row must count.

    Input shape:
        `{"tokens": (batch, tokens, dim), "mask": (batch, tokens)}`.

    Output shape:
        `(batch, vectors, dim)`: as many vectors as tokens before the histories, `num_pooled`, and `num_recent` of each
        history, or all its positions if it has fewer.

    Raises:
        ValueError: on a number below 1, no history, or tokens of unknown size or fewer than the histories' positions.

    Example:

    >>> import numpy as np
    >>> inputs = {"tokens": np.ones((4, 6, 8), "float32"), "mask": np.ones((4, 6), "bool")}
    >>> tuple(HistorySummary([5], num_pooled=1, num_recent=2)(inputs).shape)
    (4, 4, 8)

    Reference:
        Zeng et al., *InterFormer*, [arXiv:2411.09852](https://arxiv.org/abs/2411.09852): the summary of sequences in
        the cross arch. The pooling is that of Lee et al., *Set Transformer*,
        [arXiv:1810.00825](https://arxiv.org/abs/1810.00825), its attention alone.
    """

    def __init__(
        self, lengths: Sequence[int], num_pooled: int = 2, num_recent: int = 2, num_heads: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lengths = list(lengths)
        if not self.lengths:
            raise ValueError("`lengths` must hold the length of each history, at least one. Received: lengths=[].")
        for length in self.lengths:
            check_positive(lengths=length)
        check_positive(num_pooled=num_pooled, num_recent=num_recent, num_heads=num_heads)
        self.num_pooled, self.num_recent, self.num_heads = num_pooled, num_recent, num_heads

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create the queries, the attention and the gate."""
        shape = input_shape["tokens"]
        tokens, dim = known_sizes(shape)
        if tokens < sum(self.lengths):
            raise ValueError(
                f"There must be a token for each position of the histories. Received: {tokens} tokens, "
                f"lengths={self.lengths}."
            )
        self.queries = self.add_weight(name="queries", shape=(self.num_pooled, dim))
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads, max(1, dim // self.num_heads), use_bias=False, dtype=self.dtype_policy, name="attention"
        )
        self.attention.build((None, self.num_pooled, dim), shape)
        self.gate = keras.layers.Dense(dim, "sigmoid", dtype=self.dtype_policy, name="gate")
        self.gate.build((None, None, dim))
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """The gated vectors."""
        tokens, mask = inputs["tokens"], ops.cast(inputs["mask"], "bool")
        queries = ops.cast(ops.expand_dims(self.queries, 0), tokens.dtype)
        queries = ops.broadcast_to(queries, (ops.shape(tokens)[0], *self.queries.shape))
        readable = ops.repeat(ops.expand_dims(mask, 1), self.num_pooled, axis=1)
        end = tokens.shape[1] - sum(self.lengths)
        found = [tokens[:, :end], self.attention(queries, tokens, attention_mask=readable)]
        for length in self.lengths:
            start, end = end, end + length
            found.append(self._newest(tokens[:, start:end], mask[:, start:end]))
        x = ops.concatenate(found, axis=1)
        return x * self.gate(x)

    def _newest(self, history: Any, mask: Any) -> Any:
        """The newest positions that count."""
        places = ops.reshape(ops.arange(min(self.num_recent, history.shape[1])), (1, -1, 1))
        chosen = ops.equal(ops.expand_dims(SequenceEncoder.newer(mask), 1), places)
        chosen = ops.logical_and(chosen, ops.expand_dims(mask, 1))
        return ops.matmul(ops.cast(chosen, history.dtype), history)

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        batch, _, dim = input_shape["tokens"]
        tokens, _ = known_sizes(input_shape["tokens"])
        recent = sum(min(self.num_recent, length) for length in self.lengths)
        return (batch, tokens - sum(self.lengths) + self.num_pooled + recent, dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "lengths": self.lengths,
            "num_pooled": self.num_pooled,
            "num_recent": self.num_recent,
            "num_heads": self.num_heads,
        }
