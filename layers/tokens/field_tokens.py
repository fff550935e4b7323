"""Fields as tokens of one width."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..stacked_initializer import stacked_initializer


@keras.saving.register_keras_serializable(package="grouprank")
class FieldTokens(keras.layers.Layer):
    """Makes a fixed number of tokens of one width of fields of any widths.

    Token models see a row as a few vectors of one width. Here the fields are put side by side in the order of their
    names, cut into pieces of equal width, and each piece gets a linear layer of its own:

        tokenᵢ = pieceᵢ Wᵢ + bᵢ

    Fields of the request (of the user and the context) and all others (of the ad, and of user-ad pairs) are cut
    separately, so that a token is of one side. The request's tokens come first. A model for which they do not read the
    others, such as `RankMixerBlock(request_tokens=...)`, computes them once for all ads of a request.

    Args:
        num_tokens: number of tokens.
        width: width of a token.
        request_fields: names of the fields that all ads of a request share. Defaults to `()`, no separation.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        side: `0` for the request's tokens alone, of a dict of its fields; `1` for all others. Defaults to `None`.

    Input shape:
        A dict of `(batch, field width)`.

    Output shape:
        `(batch, num_tokens, width)`, or the tokens of one side.

    Raises:
        ValueError: on a number below 1; when it is built, if `request_fields` names an unknown field, or there are
            fewer tokens than sides.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 24), "float32")}
    >>> tokens = FieldTokens(4, 6, request_fields=["user"])
    >>> tuple(tokens(fields).shape), tokens.request_tokens
    ((4, 4, 6), 1)

    Reference:
        Zhu et al., *RankMixer*, [arXiv:2507.15551](https://arxiv.org/abs/2507.15551), section 3.2. The paper groups
        features by meaning; here the sides are the groups.
    """

    def __init__(self, num_tokens: int, width: int, request_fields: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(num_tokens=num_tokens, width=width)
        self.num_tokens, self.width = num_tokens, width
        self.request_fields = list(request_fields)

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create a linear layer for each token."""
        unknown = sorted(set(self.request_fields) - set(input_shape))
        if unknown:
            raise ValueError(f"`request_fields` names {unknown}, which are none of the fields {sorted(input_shape)}.")
        names = self.sides(input_shape)
        widths = [sum(int(input_shape[name][-1] or 0) for name in side) for side in names]
        sides = sum(width > 0 for width in widths)
        if self.num_tokens < sides:
            raise ValueError(
                f"The fields are of {sides} sides, so there must be as many tokens. Received: "
                f"num_tokens={self.num_tokens}."
            )
        # As many tokens as its share of the columns, at least one for each side that has fields.
        request = round(self.num_tokens * widths[0] / sum(widths))
        first = min(max(request, int(widths[0] > 0)), self.num_tokens - int(widths[1] > 0))
        self.counts = (first, self.num_tokens - first)
        # Of equal width, the last one filled up with zeros.
        self._pieces = [-(-width // count) if count else 0 for width, count in zip(widths, self.counts, strict=True)]
        self._kernels, self._biases = {}, {}
        for side, count, piece in zip((0, 1), self.counts, self._pieces, strict=True):
            if count:
                name = ("request", "other")[side]
                draw = stacked_initializer(keras.initializers.GlorotUniform())
                self._kernels[side] = self.add_weight(
                    name=f"{name}_kernel", shape=(count, piece, self.width), initializer=draw
                )
                self._biases[side] = self.add_weight(
                    name=f"{name}_bias", shape=(count, self.width), initializer="zeros"
                )
        self.built = True

    def sides(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Of names of fields, those of the request and all others, each in their order.

        Args:
            names: names of fields.
        """
        request = set(self.request_fields)
        return [n for n in sorted(names) if n in request], [n for n in sorted(names) if n not in request]

    @property
    def request_tokens(self) -> int:
        """How many tokens, the first ones, are of the request; exists once the layer is built."""
        return self.counts[0]

    def call(self, fields: Mapping[str, Any], side: int | None = None) -> Any:
        """The tokens of both sides, or of one."""
        names = self.sides(fields)
        sides = [number for number in (0, 1) if self.counts[number]] if side is None else [side]
        found = [self._tokens(number, [fields[name] for name in names[number]]) for number in sides]
        return ops.concatenate(found, axis=1) if len(found) > 1 else found[0]

    def _tokens(self, side: int, fields: Sequence[Any]) -> Any:
        """The tokens of one side, of its fields in their order."""
        count, piece, _ = self._kernels[side].shape
        x = ops.concatenate([ops.cast(field, self.compute_dtype) for field in fields], axis=-1)
        missing = count * piece - x.shape[-1]
        if missing:
            x = ops.pad(x, [[0, 0], [0, missing]])
        x = ops.reshape(x, (-1, count, piece))
        return ops.einsum("bnp,npw->bnw", x, self._kernels[side]) + self._biases[side]

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (next(iter(input_shape.values()))[0], self.num_tokens, self.width)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "width": self.width,
            "request_fields": self.request_fields,
        }
