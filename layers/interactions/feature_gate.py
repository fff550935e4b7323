"""A gate over features that looks at their context."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..mlp import MLP


@keras.saving.register_keras_serializable(package="grouprank")
class FeatureGate(keras.layers.Layer):
    """Scales each component of the features by a factor in (0, 2): context-aware feature selection.

    Two networks over the same features learn different things when each sees
    them through a gate of its own: `2 sigmoid(network(context)) ⊙ features`. A context
    is a part of the row, such as the user's fields. Without one the gate is the
    same for every row, computed from a learned vector.

    Args:
        units: widths of the gate network's hidden layers. Defaults to `(64,)`.
        activation: activation of these layers. Defaults to `"relu"`.
        context_dim: width of the learned vector, where no context is passed.
            Defaults to `16`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of `"features"` and, optionally, `"context"`.

    Input shape:
        `{"features": (batch, dim), "context": (batch, context width)}`.

    Output shape:
        `(batch, dim)`.

    Raises:
        ValueError: on a width below 1, or other inputs than the two.

    Example:

    >>> import numpy as np
    >>> gate = FeatureGate(units=(4,))
    >>> tuple(gate({"features": np.ones((5, 6), "float32"), "context": np.ones((5, 2), "float32")}).shape)
    (5, 6)

    Reference:
        Mao et al., *FinalMLP*, [arXiv:2304.00902](https://arxiv.org/abs/2304.00902): stream-specific
        feature selection.
    """

    def __init__(
        self,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        context_dim: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        if any(not isinstance(width, int) or width < 1 for width in (*self.units, context_dim)):
            raise ValueError(
                "`units` and `context_dim` must be positive integers. "
                f"Received: units={units!r}, context_dim={context_dim!r}."
            )
        self.activation = keras.activations.get(activation)
        self.context_dim = context_dim

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create the gate network, and the learned vector if there is no context."""
        if set(input_shape) not in ({"features"}, {"features", "context"}):
            raise ValueError(
                f"`inputs` must be a dict of 'features' and, optionally, 'context'. Received: {sorted(input_shape)}."
            )
        self.context = None
        if "context" not in input_shape:
            self.context = self.add_weight(name="context", shape=(1, self.context_dim), initializer="zeros")
        self.network = MLP(
            self.units,
            activation=self.activation,
            output_units=input_shape["features"][-1],
            dtype=self.dtype_policy,
            name="network",
        )
        self.network.build(input_shape.get("context", (1, self.context_dim)))
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Gated features."""
        context = inputs["context"] if self.context is None else self.context
        return 2.0 * ops.sigmoid(self.network(context)) * inputs["features"]

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape["features"])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "context_dim": self.context_dim,
        }
