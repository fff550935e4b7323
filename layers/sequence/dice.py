"""The data adaptive activation of Deep Interest Networks."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class Dice(keras.layers.Layer):
    """A PReLU whose bend follows the distribution of its inputs.

    `p(s) · s + (1 − p(s)) · α s` with a learned `α` a channel and
    `p(s) = sigmoid((s − E[s]) / √(Var[s] + ε))`. Mean and variance are those of the
    batch in training and moving averages otherwise.

    Args:
        momentum: momentum of the moving averages. Defaults to `0.99`.
        epsilon: `ε`. Defaults to `1e-8`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: tensor of floating dtype.
        training: statistics of the batch are used, and move the averages, only if `True`.
        mask: boolean, shape of the inputs without the last axis; where `False`, values
            do not enter the statistics. Defaults to `None`.

    Input shape:
        `(..., dim)`.

    Output shape:
        The input's shape.

    Example:

    >>> import numpy as np
    >>> activation = Dice()
    >>> output = activation(np.zeros((4, 8), "float32"), training=True)
    >>> tuple(output.shape)
    (4, 8)

    Reference:
        Zhou et al., *Deep Interest Network*, [arXiv:1706.06978](https://arxiv.org/abs/1706.06978), eq. 9.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.normalization = keras.layers.BatchNormalization(
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
            name="normalization",
        )
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the slopes and the moving averages."""
        self.alpha = self.add_weight(name="alpha", shape=(input_shape[-1],), initializer="zeros")
        self.normalization.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Apply the activation."""
        gate = ops.sigmoid(self.normalization(inputs, training=training, mask=mask))
        return inputs * (gate + (1.0 - gate) * self.alpha)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
