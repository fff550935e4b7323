"""RankMixer's block: tokens exchange heads, then each has a network of its own."""

from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, check_rate, known_sizes
from .per_token_mlp import PerTokenMLP


@keras.saving.register_keras_serializable(package="grouprank")
class RankMixerBlock(keras.layers.Layer):
    """Mixes tokens without attention and applies a network of its own to each.

    Each of `T` tokens is cut into `T` heads. The mixed token `h` is all tokens' heads number `h` side by side, so the
    mixing has no weights and is one transposition:

        s = layer_norm(mix(x) + x)
        y = layer_norm(per_token_mlp(s) + s)

    With `request_tokens`, the first ones do not read the others: in their mixed tokens, heads of the others are zeros.
    Models then compute them once for all ads of a request.

    Args:
        expansion: width of the hidden layer of a token's network, in widths of a token. Defaults to `4`.
        request_tokens: number of tokens that are the same for all ads of a request. Defaults to `0`: all tokens read
            all tokens.
        dropout: dropout rate of the hidden layer of the tokens' networks. Defaults to `0.0`.
        epsilon: of the normalizations. Defaults to `1e-5`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the tokens, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, tokens, width)`; the number of tokens divides the width.

    Output shape:
        `(batch, tokens, width)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, inputs of unknown size, a width that the
            number of tokens does not divide, or fewer tokens than `request_tokens`.

    Example:

    >>> import numpy as np
    >>> tuple(RankMixerBlock()(np.ones((4, 3, 6), "float32")).shape)
    (4, 3, 6)

    Reference:
        Zhu et al., *RankMixer*, [arXiv:2507.15551](https://arxiv.org/abs/2507.15551), section 3.3; what the request's
        tokens may not read is masked as in Lu et al., *Compute Only Once: UG-Separation*,
        [arXiv:2602.10455](https://arxiv.org/abs/2602.10455).
    """

    def __init__(
        self,
        expansion: int = 4,
        request_tokens: int = 0,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(expansion=expansion)
        check_rate(dropout=dropout)
        if not isinstance(request_tokens, int) or request_tokens < 0:
            raise ValueError(f"`request_tokens` must be 0 or more. Received: request_tokens={request_tokens!r}.")
        self.expansion, self.request_tokens = expansion, request_tokens
        self.dropout, self.epsilon = dropout, epsilon
        self._mixing_norm, self._output_norm = (
            keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name=name)
            for name in ("mixing_norm", "output_norm")
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the tokens' networks."""
        tokens, width = known_sizes(input_shape)
        if width % tokens or self.request_tokens > tokens:
            raise ValueError(
                "The number of tokens must divide their width and be at least `request_tokens`. Received: "
                f"{tokens} tokens of width {width}, request_tokens={self.request_tokens}."
            )
        self._tokens = tokens
        self._mlp = PerTokenMLP(
            self.expansion * width, dropout=self.dropout, dtype=self.dtype_policy, name="per_token_mlp"
        )
        for layer in (self._mixing_norm, self._mlp, self._output_norm):
            layer.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The tokens after mixing and their networks."""
        if not self.request_tokens:
            return self._finish(inputs, _joined(self.heads(inputs)), 0, training)
        request, others = inputs[:, : self.request_tokens], inputs[:, self.request_tokens :]
        found = [self.request_half(request, training)]
        if self._tokens > self.request_tokens:
            found.append(self.other_half(self.heads(request)[:, self.request_tokens :], others, training))
        return ops.concatenate(found, axis=1)

    def heads(self, tokens: Any) -> Any:
        """The heads of tokens, `(batch, heads, tokens, width of a head)`.

        Args:
            tokens: `(batch, some of the tokens, width)`.
        """
        cut = ops.reshape(tokens, (-1, tokens.shape[1], self._tokens, tokens.shape[2] // self._tokens))
        return ops.transpose(cut, (0, 2, 1, 3))

    def request_half(self, request: Any, training: bool | None = None) -> Any:
        """The request's tokens after the block; they read one another alone.

        Args:
            request: the request's tokens.
            training: as in a call. Defaults to `None`.
        """
        mixed = self.heads(request)[:, : self.request_tokens]
        unread = self._tokens - self.request_tokens
        return self._finish(request, _joined(ops.pad(mixed, [[0, 0], [0, 0], [0, unread], [0, 0]])), 0, training)

    def other_half(self, heads: Any, others: Any, training: bool | None = None) -> Any:
        """All other tokens after the block.

        Args:
            heads: what they read of the request: heads of its tokens, from number `request_tokens` on.
            others: the other tokens.
            training: as in a call. Defaults to `None`.
        """
        own = self.heads(others)[:, self.request_tokens :]
        return self._finish(others, _joined(ops.concatenate([heads, own], axis=2)), self.request_tokens, training)

    def _finish(self, tokens: Any, mixed: Any, first: int, training: bool | None) -> Any:
        s = self._mixing_norm(mixed + tokens)
        return self._output_norm(self._mlp(s, first=first, training=training) + s)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "expansion": self.expansion,
            "request_tokens": self.request_tokens,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }


def _joined(heads: Any) -> Any:
    """Mixed tokens of `(batch, heads, tokens, width of a head)`."""
    return ops.reshape(heads, (-1, heads.shape[1], heads.shape[2] * heads.shape[3]))
