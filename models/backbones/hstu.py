"""Pointwise attention over histories and fields."""

from collections.abc import Sequence
from typing import Any

import keras

from ...layers import HSTUBlock
from ...layers.check_arguments import check_positive, check_rate
from .token_sequence import Reading, TokenSequence


@keras.saving.register_keras_serializable(package="grouprank")
class HSTUBackbone(TokenSequence):
    """Blocks of HSTU over histories and tokens of fields.

    The paper makes one sequence of everything that is known of a user, and what is ranked is its newest position. Here
    the positions of the histories come first, then tokens of the other fields, those of the ad last. All share the
    blocks' weights. The request is read once for all its ads (`TokenSequence`).

    The sequence encoder of the same name, `layers.HSTU`, makes one vector of one history for any backbone, and says
    what a block computes.

    Args:
        num_tokens: number of tokens of fields. Defaults to `8`.
        token_width: width of a token. Defaults to `64`.
        num_layers: number of blocks. Defaults to `2`.
        num_heads: attention heads; must divide `token_width`. Defaults to `2`.
        dropout: dropout rate of the blocks' outputs. Defaults to `0.0`.
        request_fields: names of the features that all ads of a request share (see `request_side`). By name, as
            `CTRModel(backbone="hstu")`, they are the features of the user and of the context. Defaults to `()`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name, and of the positions of sequences (see `Backbone`).
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`, and `(batch, length, width)` with masks for sequences.

    Output shape:
        `(batch, num_tokens * token_width)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or a width that `num_heads` does not divide.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> fields |= {"seen:steps": np.ones((4, 5, 8), "float32"), "seen:mask": np.ones((4, 5), "bool")}
    >>> tuple(HSTUBackbone(2, token_width=16, request_fields=["user"])(fields).shape)
    (4, 32)

    Reference:
        Zhai et al., *Actions Speak Louder than Words*, [arXiv:2402.17152](https://arxiv.org/abs/2402.17152).
    """

    def __init__(
        self,
        num_tokens: int = 8,
        token_width: int = 64,
        num_layers: int = 2,
        num_heads: int = 2,
        dropout: float = 0.0,
        *,
        request_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tokens, token_width, num_layers, request_fields, **kwargs)
        check_positive(num_heads=num_heads)
        check_rate(dropout=dropout)
        if token_width % num_heads:
            raise ValueError(
                f"`num_heads` must divide `token_width`. Received: num_heads={num_heads}, token_width={token_width}."
            )
        self.num_heads, self.dropout = num_heads, dropout

    def make_block(self, index: int, length: int) -> HSTUBlock:
        """See `TokenSequence.make_block`."""
        return HSTUBlock(
            self.token_width,
            self.num_heads,
            length,
            length,
            self.dropout,
            dtype=self.dtype_policy,
            name=f"block_{index}",
        )

    def call_block(self, block: Any, x: Any, reading: Reading, training: bool | None) -> tuple[Any, Any, Any]:
        """See `TokenSequence.call_block`."""
        return block(
            x,
            distance=reading.distance,
            allowed=reading.allowed,
            memory=reading.memory,
            start=reading.start,
            training=training,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads, "dropout": self.dropout}
