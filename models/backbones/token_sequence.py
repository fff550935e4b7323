"""The base of backbones that read histories and fields as one sequence of tokens."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import FieldTokens, SequenceTokens
from ...layers.check_arguments import check_positive
from ...schema import Schema
from .backbone import Backbone
from .request_side import request_side


@dataclasses.dataclass(frozen=True)
class Reading:
    """What tokens may read in a block, and which of all tokens they are.

    Args:
        distance: how far each token that is updated stands behind each that it may read, integers `(updated, read)`.
        allowed: whether it may read it, boolean `(batch or 1, updated, read)`.
        shared: how many of the tokens, the first ones, are positions of histories. Defaults to `0`.
        start: the first token that is updated: 0, or in the last block, after which nothing reads the histories,
            `shared`. Defaults to `0`.
        first: which token of the fields comes first. Defaults to `0`.
        memory: keys and values of the tokens before, which are read first. Defaults to `None`.
    """

    distance: Any
    allowed: Any
    shared: int = 0
    start: int = 0
    first: int = 0
    memory: tuple[Any, Any] | None = None


class TokenSequence(Backbone):
    """Base class of backbones in which tokens attend to those before them.

    The tokens stand in this order: the positions of the histories, tokens of the request's other fields, tokens of all
    other fields. A token attends to itself and to those before it, so what is the same for all ads of a request never
    reads an ad. `CTRModel.rank` reads it once (`read_request`), and each ad attends to what it left (`read_others`).

    The representation is the tokens of the fields side by side, after the last block.

    A subclass implements `make_block(index, histories, length)` and `call_block`.

    Args:
        num_tokens: number of tokens of fields. Defaults to `8`.
        token_width: width of a token. Defaults to `64`.
        num_layers: number of blocks. Defaults to `2`.
        request_fields: names of the features that all ads of a request share, see `request_side`. Defaults to `()`.
        **kwargs: base layer keywords such as `name` and `dtype`.
    """

    reads_sequences = True

    def __init__(
        self,
        num_tokens: int = 8,
        token_width: int = 64,
        num_layers: int = 2,
        request_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_tokens=num_tokens, token_width=token_width, num_layers=num_layers)
        self.num_tokens, self.token_width, self.num_layers = num_tokens, token_width, num_layers
        self.request_fields = list(request_fields)
        self.histories = SequenceTokens(token_width, dtype=self.dtype_policy, name="histories")

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "TokenSequence":
        """The backbone for a table: the request's fields are the features of the user and of the context."""
        return cls(**{"request_fields": schema.field_names("user", "context"), **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the tokens and the blocks."""
        fields, steps = self.without_steps(input_shape)
        request, _ = request_side(fields, self.request_fields)
        # Those that are no fields are named, too: the layer refuses them.
        names = sorted({*request, *self.request_fields})
        self.tokens = FieldTokens(self.num_tokens, self.token_width, names, dtype=self.dtype_policy, name="tokens")
        self.tokens.build(fields)
        self.num_positions = 0
        if steps:
            self.histories.build(steps)
            self.num_positions = sum(steps[f"{name}:steps"][1] for name in self.histories.names)
        length = self.num_positions + self.num_tokens
        self.blocks = [self.make_block(index, length) for index in range(self.num_layers)]
        for block in self.blocks:
            block.build((None, length, self.token_width))
        self.built = True

    def make_block(self, index: int, length: int) -> keras.layers.Layer:
        """A block, not built yet.

        Args:
            index: its number.
            length: the number of all tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `make_block`.")

    def call_block(self, block: Any, x: Any, reading: Reading, training: bool | None) -> tuple[Any, Any, Any]:
        """New tokens of those that are updated, and the keys and values of all, which later tokens read.

        Args:
            block: the block.
            x: the tokens.
            reading: what they may read.
            training: as in a call.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `call_block`.")

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        request, others = self.halves(fields)
        return self.read_others(others, *self.read_request(request, training), training=training)

    def halves(self, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is the same for all ads of a request, histories included, and all other fields.

        Where no fields are named as the request's, histories are still read first.
        """
        plain, steps = self.without_steps(fields)
        of_request, of_others = self.tokens.sides(plain)
        return {name: plain[name] for name in of_request} | steps, {name: plain[name] for name in of_others}

    def read_request(
        self, request: Mapping[str, Any], training: bool | None = None
    ) -> tuple[Any, list[tuple[Any, Any]], Any]:
        """Tokens of the request's fields after the blocks, each block's keys and values, and what counts of these.

        Args:
            request: the first of `halves`.
            training: as in a call. Defaults to `None`.
        """
        plain, steps = self.without_steps(request)
        parts, counts = [], []
        if steps:
            tokens, mask = self.histories(steps)
            parts.append(tokens)
            counts.append(mask)
        if plain:
            tokens = self.tokens(plain, side=0)
            parts.append(tokens)
            counts.append(ops.ones_like(tokens[..., 0], dtype="bool"))
        if not parts:
            return None, [], None
        x, mask = (ops.concatenate(found, axis=1) if len(found) > 1 else found[0] for found in (parts, counts))
        places = ops.arange(x.shape[1])
        distance = ops.expand_dims(places, 1) - ops.expand_dims(places, 0)
        # A position that does not count reads itself: what attends to nothing is NaN.
        read = ops.logical_or(ops.expand_dims(mask, 1), ops.equal(distance, 0))
        allowed = ops.logical_and(read, ops.greater_equal(distance, 0))
        memory = []
        for index, block in enumerate(self.blocks):
            start = self.num_positions if index == self.num_layers - 1 else 0
            reading = Reading(distance[start:], allowed[:, start:], shared=self.num_positions, start=start)
            x, keys, values = self.call_block(block, x, reading, training)
            memory.append((keys, values))
        return x, memory, mask

    def read_others(
        self,
        others: Mapping[str, Any],
        request: Any,
        memory: Sequence[tuple[Any, Any]],
        mask: Any,
        training: bool | None = None,
    ) -> Any:
        """The representation, of the other fields and of what `read_request` returned.

        Args:
            others: the second of `halves`.
            request: tokens of the request's fields.
            memory: each block's keys and values.
            mask: what counts of these.
            training: as in a call. Defaults to `None`.
        """
        found = [] if request is None else [request]
        if others:
            x = self.tokens(others, side=1)
            before = 0 if mask is None else mask.shape[1]
            places = ops.arange(before, before + x.shape[1])
            distance = ops.expand_dims(places, 1) - ops.expand_dims(ops.arange(before + x.shape[1]), 0)
            own = ops.ones_like(x[..., 0], dtype="bool")
            read = own if mask is None else ops.concatenate([mask, own], axis=1)
            allowed = ops.logical_and(ops.expand_dims(read, 1), ops.greater_equal(distance, 0))
            first = self.tokens.request_tokens
            for index, block in enumerate(self.blocks):
                of_request = memory[index] if memory else None
                reading = Reading(distance, allowed, first=first, memory=of_request)
                x, _, _ = self.call_block(block, x, reading, training)
            found.append(x)
        x = ops.concatenate(found, axis=1) if len(found) > 1 else found[0]
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "token_width": self.token_width,
            "num_layers": self.num_layers,
            "request_fields": self.request_fields,
        }
