"""One Transformer over histories and fields."""

from collections.abc import Sequence
from typing import Any

import keras

from ...layers import OneTransBlock
from ...layers.check_arguments import check_positive, check_rate
from .token_sequence import Reading, TokenSequence


@keras.saving.register_keras_serializable(package="grouprank")
class OneTrans(TokenSequence):
    """One Transformer in which fields attend to the histories, position by position.

    Most models sum a history up before its vector meets the other features. Here positions of histories and tokens of
    fields stand in one sequence, and each token attends to all before it. Positions share weights, and each token of
    fields has its own (`OneTransBlock`). The request is read once for all its ads (`TokenSequence`).

    The paper also drops the oldest positions from block to block, which is left out.

    Args:
        num_tokens: number of tokens of fields. Defaults to `8`.
        token_width: width of a token. Defaults to `64`.
        num_layers: number of blocks. Defaults to `2`.
        num_heads: attention heads; must divide `token_width`. Defaults to `2`.
        expansion: width of the hidden layer of a token's network, in widths of a token. Defaults to `2`.
        dropout: dropout rate. Defaults to `0.0`.
        request_fields: names of the features that all ads of a request share (see `request_side`). By name, as
            `CTRModel(backbone="one_trans")`, they are the features of the user and of the context. Defaults to `()`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name, and of the positions of sequences (see `Backbone`).
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`, and `(batch, length, width)` with masks for sequences.

    Output shape:
        `(batch, num_tokens * token_width)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or what `FieldTokens` and `OneTransBlock`
            refuse.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> fields |= {"seen:steps": np.ones((4, 5, 8), "float32"), "seen:mask": np.ones((4, 5), "bool")}
    >>> tuple(OneTrans(2, token_width=16, request_fields=["user"])(fields).shape)
    (4, 32)

    Reference:
        Zhang et al., *OneTrans*, [arXiv:2510.26104](https://arxiv.org/abs/2510.26104).
    """

    def __init__(
        self,
        num_tokens: int = 8,
        token_width: int = 64,
        num_layers: int = 2,
        num_heads: int = 2,
        expansion: int = 2,
        dropout: float = 0.0,
        *,
        request_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tokens, token_width, num_layers, request_fields, **kwargs)
        check_positive(num_heads=num_heads, expansion=expansion)
        check_rate(dropout=dropout)
        self.num_heads, self.expansion, self.dropout = num_heads, expansion, dropout

    def make_block(self, index: int, length: int) -> OneTransBlock:
        """See `TokenSequence.make_block`."""
        return OneTransBlock(
            self.num_tokens,
            self.num_heads,
            self.expansion,
            self.dropout,
            updates_shared=index < self.num_layers - 1,
            dtype=self.dtype_policy,
            name=f"block_{index}",
        )

    def call_block(self, block: Any, x: Any, reading: Reading, training: bool | None) -> tuple[Any, Any, Any]:
        """See `TokenSequence.call_block`."""
        return block(
            x,
            allowed=reading.allowed,
            shared=reading.shared,
            first=reading.first,
            memory=reading.memory,
            training=training,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"num_heads": self.num_heads, "expansion": self.expansion, "dropout": self.dropout}
        return {**super().get_config(), **own}
