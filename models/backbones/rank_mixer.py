"""Tokens that exchange heads without attention."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import FieldTokens, RankMixerBlock
from ...layers.check_arguments import check_positive, check_rate
from ...schema import Schema
from .backbone import Backbone
from .request_side import request_side


@keras.saving.register_keras_serializable(package="grouprank")
class RankMixer(Backbone):
    """A few tokens of fields, mixed by a transposition, each with a feed-forward network of its own.

    Nearly all of the arithmetic is in the tokens' networks, which are few large products of matrices, so it fills a
    GPU where attention between fields does not. `FieldTokens` makes the tokens, each of one side; `RankMixerBlock` is a
    block. The representation is the mean of the tokens.

    With `user_once=True` the request's tokens do not read the others. `CTRModel.rank` then computes them once for all
    ads of a request.

    The paper's mixture of experts for each token is left out.

    Args:
        num_tokens: number of tokens; must divide `token_width`. Defaults to `8`.
        token_width: width of a token. Defaults to `64`.
        num_layers: number of blocks. Defaults to `2`.
        expansion: width of the hidden layer of a token's network, in widths of a token. Defaults to `4`.
        dropout: dropout rate of the tokens' networks. Defaults to `0.0`.
        request_fields: names of the features that all ads of a request share (see `request_side`). By name, as
            `CTRModel(backbone="rank_mixer")`, they are the features of the user and of the context. Defaults to `()`.
        user_once: whether the tokens of these fields read one another alone. Defaults to `False`, as in the paper.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, token_width)`.

    Raises:
        ValueError: on a number below 1, or a width that the number of tokens does not divide; when it is built, if
            `request_fields` names an unknown field, or `user_once` has no field to compute once.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(RankMixer(2, token_width=16, request_fields=["user"])(fields).shape)
    (4, 16)

    Reference:
        Zhu et al., *RankMixer*, [arXiv:2507.15551](https://arxiv.org/abs/2507.15551); `user_once` as in Lu et al.,
        *Compute Only Once: UG-Separation*, [arXiv:2602.10455](https://arxiv.org/abs/2602.10455).
    """

    def __init__(
        self,
        num_tokens: int = 8,
        token_width: int = 64,
        num_layers: int = 2,
        expansion: int = 4,
        dropout: float = 0.0,
        *,
        request_fields: Sequence[str] = (),
        user_once: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_tokens=num_tokens, token_width=token_width, num_layers=num_layers, expansion=expansion)
        check_rate(dropout=dropout)
        self.num_layers, self.expansion, self.dropout, self.user_once = num_layers, expansion, dropout, user_once
        self.num_tokens, self.token_width, self.request_fields = num_tokens, token_width, list(request_fields)
        if token_width % num_tokens:
            raise ValueError(
                f"`num_tokens` must divide `token_width`. Received: num_tokens={num_tokens}, token_width={token_width}."
            )

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "RankMixer":
        """The backbone for a table: the request's fields are the features of the user and of the context."""
        return cls(**{"request_fields": schema.field_names("user", "context"), **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the tokens and the blocks."""
        request, _ = request_side(input_shape, self.request_fields)
        # Those that are no fields are named, too: the layer refuses them.
        names = sorted({*request, *self.request_fields})
        self.tokens = FieldTokens(self.num_tokens, self.token_width, names, dtype=self.dtype_policy, name="tokens")
        self.tokens.build(input_shape)
        if self.user_once and not all(self.tokens.counts):
            raise ValueError(
                "`user_once` needs fields of the request and others. Received: request_fields="
                f"{self.request_fields} and the fields {sorted(input_shape)}."
            )
        once = self.tokens.request_tokens if self.user_once else 0
        self.blocks = [
            RankMixerBlock(self.expansion, once, self.dropout, dtype=self.dtype_policy, name=f"block_{index}")
            for index in range(self.num_layers)
        ]
        for block in self.blocks:
            block.build((None, self.tokens.num_tokens, self.tokens.width))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        x = self.tokens(fields)
        for block in self.blocks:
            x = block(x, training=training)
        return ops.mean(x, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "token_width": self.token_width,
            "num_layers": self.num_layers,
            "expansion": self.expansion,
            "dropout": self.dropout,
            "request_fields": self.request_fields,
            "user_once": self.user_once,
        }
