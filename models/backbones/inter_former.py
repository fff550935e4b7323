"""Fields and histories that learn from each other, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import FieldSummary, HistorySummary, MaskBlock, PersonalizedAttention, SequenceTokens, WukongLayer
from ...layers.check_arguments import check_positive, known_sizes
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class InterFormer(Backbone):
    """Layers in which fields read a summary of the histories, and the histories one of the fields.

    Other networks either make one vector of a history before the fields meet it, or let the fields guide how a history
    is read and learn nothing from it themselves. Here both go on whole, and each layer exchanges summaries (the cross
    arch). With embeddings of fields `X` and positions of histories `S`:

        x = FieldSummary(X)                                 s = HistorySummary(S)
        X' = WukongLayer([X; s])                            S' = PersonalizedAttention(S, context x)

    The histories start as the positions that `SequenceTokens` makes, each masked by itself (`MaskBlock` without an
    activation), and the first `x` stands before them as tokens. The representation is `[x; s]` after the last layer.
    The paper's dense layers above it are the towers. Without a history it is `x` above layers that read `X` alone.

    How we read the paper: The interaction, which it leaves open, is a `WukongLayer`, products of embeddings under a
    dense layer; its output need not have as many embeddings as there are fields. The dense layer of the fields' summary
    is linear and combines whole embeddings. A learned vector says how new a position is, where the paper rotates.
    Histories stand one after the other, where the paper aligns and merges them. A layer reads `S` normalized and adds
    to it, as a Transformer does. Everything is as wide as the features.

    Every history reads all fields from the first layer on, those of the ad too. So `CTRModel.rank` has nothing of this
    backbone to compute once for a request, and calls it for each ad as for a row. `OneTrans` reads histories once.

    Args:
        num_layers: number of layers. Defaults to `2`.
        num_products: embeddings that a layer makes of products. Defaults to `16`.
        num_linear: embeddings that a layer combines linearly. Defaults to `16`.
        rank: columns that the products are compressed to. Defaults to `24`.
        units: widths of the dense layers above the products. Defaults to `(256,)`.
        num_summaries: embeddings of the fields' summary. Defaults to `4`.
        num_pooled: vectors pooled of the histories for their summary. Defaults to `2`.
        num_recent: newest positions of each history in their summary. Defaults to `2`.
        num_heads: attention heads, each `width // num_heads` wide, at least 1. Defaults to `2`.
        map_units: widths of the hidden layers that make the histories' linear map of the fields. Defaults to `(64,)`.
        dropout: dropout rate of the dense layers above the products, and of the histories' updates. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name, and of the positions of sequences (see `Backbone`).
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`, and `(batch, length, width)` with masks for sequences.

    Output shape:
        `(batch, (2 * num_summaries + num_pooled + num_recent * histories) * dim)` with the features' width `dim`; a
        history shorter than `num_recent` counts its length. Without a history `(batch, num_summaries * dim)`.

    Raises:
        ValueError: on a number below 1, or a dropout rate outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> fields |= {"seen:steps": np.ones((4, 5, 8), "float32"), "seen:mask": np.ones((4, 5), "bool")}
    >>> tuple(InterFormer(num_summaries=1, num_pooled=1, num_recent=2)(fields).shape)
    (4, 40)

    Reference:
        Zeng et al., *InterFormer*, [arXiv:2411.09852](https://arxiv.org/abs/2411.09852).
    """

    reads_sequences = True

    def __init__(
        self,
        num_layers: int = 2,
        num_products: int = 16,
        num_linear: int = 16,
        rank: int = 24,
        units: Sequence[int] = (256,),
        num_summaries: int = 4,
        num_pooled: int = 2,
        num_recent: int = 2,
        num_heads: int = 2,
        map_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(
            num_layers=num_layers,
            num_summaries=num_summaries,
            num_pooled=num_pooled,
            num_recent=num_recent,
            num_heads=num_heads,
        )
        self.num_layers, self.num_summaries, self.num_pooled = num_layers, num_summaries, num_pooled
        self.num_recent, self.num_heads, self.map_units, self.dropout = num_recent, num_heads, tuple(map_units), dropout
        policy = {"dtype": self.dtype_policy}
        self.interactions = [
            WukongLayer(num_products, num_linear, rank, units, dropout=dropout, name=f"interaction_{index}", **policy)
            for index in range(num_layers)
        ]

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the layers in order."""
        fields, steps = self.without_steps(input_shape)
        embeddings, dim = self.build_stack(fields)
        policy = {"dtype": self.dtype_policy}
        self.histories: Any = None
        read = 0
        if steps:
            self.histories = SequenceTokens(dim, name="histories", **policy)
            self.histories.build(steps)
            read = self._build_histories([steps[f"{name}:steps"][1] for name in self.histories.names], dim)
        # Without histories nothing reads a summary before the last.
        places = range(self.num_layers + 1) if steps else [self.num_layers]
        self.field_summaries = [
            FieldSummary(self.num_summaries, name=f"field_summary_{place}", **policy) for place in places
        ]
        counts = [embeddings]
        for interaction in self.interactions:
            shape: tuple[int | None, ...] = (None, counts[-1] + read, dim)
            interaction.build(shape)
            counts.append(known_sizes(interaction.compute_output_shape(shape))[0])
        for place, summary in zip(places, self.field_summaries, strict=True):
            summary.build((None, counts[place], dim))
        self.built = True

    def _build_histories(self, lengths: Sequence[int], dim: int) -> int:
        """Build what reads histories; returns the number of vectors of their summary."""
        policy = {"dtype": self.dtype_policy}
        positions = (None, sum(lengths), dim)
        self.masked = MaskBlock(dim, activation=None, name="masked", **policy)
        self.masked.build({"hidden": positions, "embedding": positions})
        tokens = (None, self.num_summaries + sum(lengths), dim)
        shapes = {"tokens": tokens, "mask": tokens[:2], "context": (None, self.num_summaries, dim)}
        self.history_summaries = [
            HistorySummary(
                lengths, self.num_pooled, self.num_recent, self.num_heads, name=f"history_summary_{place}", **policy
            )
            for place in range(self.num_layers + 1)
        ]
        self.blocks = [
            PersonalizedAttention(self.map_units, self.num_heads, self.dropout, name=f"block_{index}", **policy)
            for index in range(self.num_layers)
        ]
        for layers in (self.history_summaries, self.blocks):
            for layer in layers:
                layer.build(shapes)
        return known_sizes(self.history_summaries[0].compute_output_shape(shapes))[0]

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields and the histories."""
        plain, steps = self.without_steps(fields)
        x = self.stack(plain)
        if self.histories is None:
            for interaction in self.interactions:
                x = interaction(x, training=training)
            return self._flat(self.field_summaries[0](x))
        summary = self.field_summaries[0](x)
        positions, mask = self.histories(steps)
        positions = self.masked({"hidden": positions, "embedding": positions})
        tokens = ops.concatenate([summary, positions], axis=1)
        mask = ops.concatenate([ops.ones_like(summary[..., 0], dtype="bool"), mask], axis=1)
        for index, (interaction, block) in enumerate(zip(self.interactions, self.blocks, strict=True)):
            of_histories = self.history_summaries[index]({"tokens": tokens, "mask": mask})
            tokens = block({"tokens": tokens, "mask": mask, "context": summary}, training=training)
            x = interaction(ops.concatenate([x, of_histories], axis=1), training=training)
            summary = self.field_summaries[index + 1](x)
        of_histories = self.history_summaries[-1]({"tokens": tokens, "mask": mask})
        return self._flat(ops.concatenate([summary, of_histories], axis=1))

    @staticmethod
    def _flat(x: Any) -> Any:
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        interaction = self.interactions[0].get_config()
        names = ("num_summaries", "num_pooled", "num_recent", "num_heads", "dropout")
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            **{name: interaction[name] for name in ("num_products", "num_linear", "rank", "units")},
            **{name: getattr(self, name) for name in names},
            "map_units": list(self.map_units),
        }
