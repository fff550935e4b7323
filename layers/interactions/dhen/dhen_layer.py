"""Interactions of several kinds side by side, behind a shortcut and a normalization."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ...check_arguments import check_rate, known_sizes
from .attention_interaction import AttentionInteraction
from .cross_interaction import CrossInteraction
from .dot_product_interaction import DotProductInteraction
from .linear_interaction import LinearInteraction
from .mlp_interaction import MLPInteraction

INTERACTIONS = ("dcn", "self_attention", "dot", "linear", "mlp")
ENSEMBLES = ("concat", "sum")


@keras.saving.register_keras_serializable(package="grouprank")
class DHENLayer(keras.layers.Layer):
    """Runs interactions of several kinds on the same embeddings and hands on what all of them found.

    Each kind of interaction captures something that the others miss. A layer is
    `LayerNorm(ensemble(interactions(X)) + shortcut(X))`: every interaction makes
    `num_embeddings` embeddings of `X`, and the ensemble stacks them or adds
    them up. Stacked, interactions of one layer work on those of all kinds
    of the layer below.

    The interactions, by name:

    - `"dcn"`: `keras_rs.layers.FeatureCross` over all embeddings side by side;
    - `"self_attention"`: a Transformer encoder layer;
    - `"dot"`: inner products of all pairs, `keras_rs.layers.DotInteraction`, and a
      linear layer;
    - `"linear"`: linear combinations of the embeddings;
    - `"mlp"`: dense layers over all embeddings side by side.

    There is no public code of the paper. Where the paper is silent, this layer
    reads it as follows. The shortcut is the identity if the number of embeddings stays, else a
    linear combination of embeddings without a bias. An interaction whose result is
    a list of embeddings is brought to `num_embeddings` by a linear combination of
    them, one whose result is a plain vector by a dense layer. The layer
    normalization goes over an embedding's components. `"dcn"` is one cross of
    DCN V2; it keeps that layer's own skip connection, which a linear interaction
    could add in any case. `"dot"` stands for the paper's AdvancedDLRM, an in-house
    DLRM.

    Args:
        num_embeddings: embeddings that each interaction makes. Defaults to `8`.
        interactions: names of the interactions. Defaults to
            `("dcn", "self_attention", "linear")`.
        ensemble: `"concat"` stacks their embeddings, `"sum"` adds
            them up. Defaults to `"concat"`.
        num_heads: attention heads of `"self_attention"`. Defaults to `2`.
        units: widths of the dense layers of `"mlp"`. Defaults to `(128,)`.
        dropout: dropout rate of `"self_attention"` and `"mlp"`. Defaults to `0.0`.
        activation: activation of the dense layers of `"mlp"`. Defaults to `"relu"`.
        normalization: `"batch"` or `"layer"` normalization between each of these dense layers and its activation, or
            `None`. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the stacked embeddings, of floating dtype.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, len(interactions) * num_embeddings, dim)`, or
        `(batch, num_embeddings, dim)` for `"sum"`.

    Raises:
        ValueError: on a number below 1, an unknown, repeated or missing interaction,
            an unknown `ensemble`, a dropout rate outside `[0, 1)`, or inputs of
            another rank or of unknown size; when it is built, on an unknown `normalization`.

    Example:

    >>> import numpy as np
    >>> tuple(DHENLayer(2, interactions=("dcn", "linear"))(np.ones((5, 3, 8), "float32")).shape)
    (5, 4, 8)

    Reference:
        Zhang et al., *DHEN*, [arXiv:2203.11014](https://arxiv.org/abs/2203.11014), section 3.
    """

    def __init__(
        self,
        num_embeddings: int = 8,
        interactions: Sequence[str] = ("dcn", "self_attention", "linear"),
        ensemble: str = "concat",
        num_heads: int = 2,
        units: Sequence[int] = (128,),
        dropout: float = 0.0,
        *,
        activation: str | Callable[[Any], Any] | None = "relu",
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_embeddings", num_embeddings), ("num_heads", num_heads)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
        known = not isinstance(interactions, str) and set(interactions) <= set(INTERACTIONS)
        if not known or not interactions or len(set(interactions)) < len(interactions):
            raise ValueError(
                f"`interactions` must name one or more of {INTERACTIONS}, each once. "
                f"Received: interactions={interactions!r}."
            )
        if ensemble not in ENSEMBLES:
            raise ValueError(f"`ensemble` must be one of {ENSEMBLES}. Received: ensemble={ensemble!r}.")
        check_rate(dropout=dropout)
        self.num_embeddings = num_embeddings
        self.interaction_names = tuple(interactions)
        self.ensemble = ensemble
        self.num_heads = num_heads
        self.units = tuple(units)
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        # `normalization` is the layer that ends this one.
        self._normalization_of_dense = normalization
        self.interactions = [self._make(name) for name in self.interaction_names]
        self.normalization = keras.layers.LayerNormalization(
            epsilon=1e-5, dtype=self.dtype_policy, name="normalization"
        )

    def _make(self, name: str) -> keras.layers.Layer:
        common = {"num_embeddings": self.num_embeddings, "dtype": self.dtype_policy, "name": name}
        if name == "dcn":
            return CrossInteraction(**common)
        if name == "self_attention":
            return AttentionInteraction(num_heads=self.num_heads, dropout=self.dropout, **common)
        if name == "dot":
            return DotProductInteraction(**common)
        if name == "linear":
            return LinearInteraction(**common)
        return MLPInteraction(
            units=self.units,
            dropout=self.dropout,
            activation=self.activation,
            normalization=self._normalization_of_dense,
            **common,
        )

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Build interactions, shortcut and normalization."""
        known_sizes(input_shape)
        for interaction in self.interactions:
            interaction.build(input_shape)
        output_shape = self.compute_output_shape(input_shape)
        self.shortcut = None
        if output_shape[1] != input_shape[1]:
            self.shortcut = LinearInteraction(output_shape[1], dtype=self.dtype_policy, name="shortcut")
            self.shortcut.build(input_shape)
        self.normalization.build(output_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Embeddings of the next layer."""
        found = [
            interaction(inputs, training=training)
            if isinstance(interaction, AttentionInteraction | MLPInteraction)
            else interaction(inputs)
            for interaction in self.interactions
        ]
        together = ops.concatenate(found, axis=1) if self.ensemble == "concat" else sum(found)
        return self.normalization(together + (inputs if self.shortcut is None else self.shortcut(inputs)))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of the output (see "Output shape")."""
        modules = len(self.interaction_names) if self.ensemble == "concat" else 1
        return (input_shape[0], modules * self.num_embeddings, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "interactions": list(self.interaction_names),
            "ensemble": self.ensemble,
            "num_heads": self.num_heads,
            "units": list(self.units),
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self._normalization_of_dense,
        }
