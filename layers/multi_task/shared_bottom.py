"""One shared representation for every task."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from ..mlp import MLP
from .multi_task import MultiTask


@keras.saving.register_keras_serializable(package="grouprank")
class SharedBottom(MultiTask):
    """Gives every task the same representation, after optional shared layers.

    The plainest multi-task structure, and the one the paper assumes: a shared
    architecture below, a head per task above.

    Args:
        task_names: names of the tasks.
        units: widths of shared dense layers above the backbone. Defaults to `()`.
        activation: activation of these layers. Defaults to `"relu"`.
        dropout: dropout rate of these layers. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, width)` by task name.

    Example:

    >>> import numpy as np
    >>> out = SharedBottom(["click", "like"], units=(8,))(np.ones((4, 16), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Caruana, *Multitask learning*, 1997.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        units: Sequence[int] = (),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        self.mlp = MLP(units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the shared layers."""
        self.mlp.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """The same tensor for each task."""
        shared = self.mlp(inputs, training=training)
        return dict.fromkeys(self.task_names, shared)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return dict.fromkeys(self.task_names, self.mlp.compute_output_shape(input_shape))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            **{name: mlp[name] for name in ("units", "activation", "dropout")},
        }
